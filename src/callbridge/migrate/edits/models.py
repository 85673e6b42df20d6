"""Which models a call runs, as far as the file shows. A wrapped call reports the text of all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from callbridge.migrate.analysis.langchain_names import is_langchain
from callbridge.migrate.edits.parameters import argument_of, copying_function, function_named
from callbridge.migrate.edits.source import Source
from callbridge.migrate.edits.stored_objects import attribute_values, holder_of, is_closed, method_called, session_values
from callbridge.migrate.words import words

__all__ = [
    "SAME_MODELS",
    "Models",
    "ends_with",
    "hearing",
    "hears_all",
    "is_chat_model",
    "is_configuring",
    "is_idle_memory",
    "is_model",
    "makes_model",
    "parts_of",
    "receiver",
    "run_models",
    "runs_one",
    "steps_of",
    "stored_in",
    "values_of",
]

_MODEL = re.compile(
    r"Chat|LLM|OpenAI|Anthropic|Ollama|LlamaCpp|Bedrock|VertexAI|HuggingFace(Hub|Pipeline|Endpoint)|GPT4All|CTransformers"
    r"|Cohere|Replicate|Together|Mistral|Gemini|Groq"
)
_NO_MODEL = re.compile(
    r"Chain|Prompt|Handler|Memory|History|Embeddings|Message|Loader|Template|Agent|Tool|Parser|Retriever|Chat(Result|Generation)|Rerank|Result|Transformer"
)
_OF_MODELS = re.compile(r"\.(llms|chat_models)\b")
"""Modules that hold nothing but models."""

_RECORD = re.compile(r"(Message|Document|History)$")
"""LangChain's classes with these names make data."""

_WITHOUT_MODELS = ("prompt", "tags", "metadata", "verbose")
"""Arguments that never hold a model."""

_OF_DATA = words(
    "append capitalize endswith extend format get items join keys lower lstrip pop replace rstrip split splitlines"
)
_OF_DATA |= words("startswith strip title upper values")
_DATA_MODULES = words(
    "ast base64 collections copy datetime html itertools json math operator os random re string textwrap time uuid"
)
"""Modules of the standard library whose functions only handle data."""

_PLAIN_MEMORY = re.compile(r"Conversation(Buffer|BufferWindow|TokenBuffer|Summary|SummaryBuffer)Memory$")
"""Memories that run no model when they are read."""

_IDLE_MEMORY = re.compile(r"\.Conversation(Buffer|BufferWindow|TokenBuffer)Memory$")
"""Memories that never run the model that they are given."""

_SEARCHES = words("get_relevant_documents invoke")
"""Methods that search, and run no model if the object that has them holds none."""

_OF_STORES = words("as_retriever max_marginal_relevance_search similarity_search similarity_search_with_score")
"""Methods of vector stores, which use embeddings, and run no model."""

_PLAIN_RETRIEVER = re.compile(r"\b(BM25|KNN|SVM|TFIDF)Retriever\b")
"""Retrievers that compare texts themselves."""

_BUILTINS = words("bool dict enumerate float int len list max min print range repr set sorted str sum tuple zip")

_DEPTH = 12
"""How many variables in a row to follow to their values."""

SAME_MODELS = ("bind", "bind_tools", "pipe", "with_config", "with_fallbacks", "with_listeners", "with_retry", "with_types")
"""Methods of a runnable that return another one, which runs the same models and those in the arguments."""

_METHODS = frozenset(SAME_MODELS) | words(
    "abatch acall agenerate agenerate_prompt aapply ainvoke apply apredict apredict_messages arun astream astream_events "
    "astream_log atransform batch call_as_llm generate generate_prompt invoke predict predict_messages run stream "
    "stream_events stream_log transform"
)
"""Methods of runnables; any other attribute that is called is a runnable itself."""

_UNSEEN = "this file does not show which models the call runs, and the loop reads the text of all of them"
_FACTORY = (
    "this file does not show what happens to the handler that it passes on, which models the call runs, or whether they stream"
)


@dataclass(frozen=True)
class Models:
    """The known models behind an expression.

    Attributes:
        found: The constructor calls that make them.
        complete: Whether these are certainly all.
    """

    found: frozenset[ast.Call]
    complete: bool


def is_model(source: Source, call: ast.Call) -> bool:
    """Return whether a call makes one of LangChain's models."""
    origin = source.origin(call.func)
    if not is_langchain(origin):
        return False
    module, _, name = origin.rpartition(".")
    if name == "init_chat_model":
        return True
    known = _MODEL.search(name) is not None or (name[:1].isupper() and _OF_MODELS.search(module) is not None)
    return known and _NO_MODEL.search(name) is None


def is_chat_model(source: Source, call: ast.Call) -> bool:
    """Return whether a call makes a chat model, whose chunks are `on_chat_model_stream`."""
    return is_model(source, call) and "Chat" in (source.origin(call.func) or "").rpartition(".")[2]


def receiver(run: ast.Call) -> ast.expr:
    """Return the runnable of a call: `chain` in `chain.run(x)` and in `chain(x)`, `self.chain` in `self.chain(x)`."""
    is_method = isinstance(run.func, ast.Attribute) and run.func.attr in _METHODS
    return run.func.value if is_method and isinstance(run.func, ast.Attribute) else run.func


def is_configuring(call: ast.Call) -> bool:
    """Return whether this is `runnable.with_config(…)`, which returns the runnable with a config of its own."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "with_config"


def hears_all(source: Source, attached: ast.Call, run: ast.Call) -> bool:
    """Return whether a handler hears everything that a call runs: the call gets it, or the config of the runnable has it."""
    return attached is run or (is_configuring(attached) and steps_of(source, receiver(run)) == [attached])


def run_models(source: Source, run: ast.Call) -> Models:
    """Return the models that a call can run."""
    return _models(source, receiver(run), 0)


def hearing(source: Source, attached: ast.Call, run: ast.Call, beside: Sequence[ast.Call] = ()) -> tuple[bool, str]:
    """Return whether a handler hears exactly the text of a call, as far as the file shows.

    Args:
        source: The file.
        attached: The object that the handler is attached to.
        run: The call.
        beside: The other objects that it is attached to.

    Returns:
        Whether the call can be wrapped at all, and the reason against it; without a reason, it is proved.
    """
    models = run_models(source, run)
    if hears_all(source, attached, run):
        return True, ""
    if is_configuring(attached):
        heard = _models(source, receiver(attached), 0)
        others = models.found - heard.found
        return (False, _another(source, others)) if others else (True, "" if heard.found and models.complete else _UNSEEN)
    if not is_langchain(source.origin(attached.func)) and _reaches(source, receiver(run), attached, 0):
        return True, _FACTORY
    if not is_model(source, attached):
        return False, f"the handler is passed to {ast.unparse(attached.func)}(), and `fix` cannot tell what that makes"
    if attached not in models.found:
        return False, "`fix` cannot tell whether the call runs the model with the handler"
    if others := models.found - {attached, *beside}:
        return False, _another(source, others)
    return True, "" if models.complete else _UNSEEN


def _another(source: Source, others: frozenset[ast.Call]) -> str:
    first = min(others, key=source.span)
    name = ast.unparse(first.func)
    return (
        f"the call may run another model, the {name} of line {first.lineno}: the handler does not hear it, and the loop would"
    )


def _reaches(source: Source, node: ast.expr, target: ast.Call, depth: int) -> bool:
    """Return whether an expression contains the result of a call, directly or through variables."""
    for each in ast.walk(node):
        if each is target:
            return True
        values = values_of(source, each) if isinstance(each, ast.Name) and depth < _DEPTH else []
        if any(_reaches(source, value, target, depth + 1) for value in values):
            return True
    return False


def steps_of(source: Source, node: ast.expr, depth: int = 0) -> list[ast.expr]:
    """Return the steps of a pipe in their order, including those in its variables."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*steps_of(source, node.left, depth), *steps_of(source, node.right, depth)]
    value = source.value(node) if isinstance(node, ast.Name) and depth < _DEPTH else None
    return [node] if value is None else steps_of(source, value, depth + 1)


def ends_with(source: Source, run: ast.Call, model: ast.Call) -> bool:
    """Return whether a call runs a model exactly once, and nothing after it that may fail.

    Args:
        source: The file.
        run: The call.
        model: Makes the model.
    """
    if not isinstance(run.func, ast.Attribute) or run.func.attr not in ("ainvoke", "invoke"):
        return False
    steps = steps_of(source, receiver(run))
    if isinstance(last := steps[-1], ast.Call) and (source.origin(last.func) or "").endswith(".StrOutputParser"):
        steps.pop()
    before = _union([_models(source, each, 0) for each in steps[:-1]])
    return steps[-1:] == [model] and before.complete and not before.found


def _models(source: Source, node: ast.expr, depth: int) -> Models:
    if depth > _DEPTH:
        return Models(frozenset(), False)
    stored = session_values(source, node)
    if stored:  # another page may store something else there
        return _union([Models(frozenset(), False), *(_models(source, each, depth + 1) for each in stored)])
    if isinstance(node, ast.Attribute):
        return _models_of_attribute(source, node, depth)
    if isinstance(node, ast.Name):
        function = function_named(source, node.id)
        if function is not None:
            return Models(frozenset(), _is_plain(source, function, depth))
        values = values_of(source, node)
        return _union([_models(source, each, depth + 1) for each in values]) if values else Models(frozenset(), False)
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.Compare | ast.UnaryOp):
        return Models(frozenset(), True)
    if isinstance(node, ast.Lambda):
        return Models(frozenset(), _is_plain(source, node, depth))
    if isinstance(node, ast.BinOp):
        return _union([_models(source, each, depth + 1) for each in (node.left, node.right)])
    if isinstance(node, ast.IfExp):
        return _union([_models(source, each, depth + 1) for each in (node.body, node.orelse)])
    if isinstance(node, ast.List | ast.Tuple):
        return _union([_models(source, each, depth + 1) for each in node.elts])
    if isinstance(node, ast.Dict):
        return _union([_models(source, each, depth + 1) for each in node.values])
    if isinstance(node, ast.Call):
        return _models_of_call(source, node, depth)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        tables = [value for value in values_of(source, node.value) if isinstance(value, ast.Dict)]
        return _union([_models(source, each, depth + 1) for each in tables]) if tables else Models(frozenset(), False)
    return Models(frozenset(), False)


def _models_of_attribute(source: Source, node: ast.Attribute, depth: int) -> Models:
    method = method_called(source, node)
    if method is not None:
        return _models_of_returned(source, method, depth)
    values, holder = attribute_values(source, node), holder_of(source, node)
    if not values or holder is None:
        return Models(frozenset(), False)
    shown = Models(frozenset(), is_closed(source, holder))  # a base of another file may store something else there
    return _union([shown, *(_models(source, each, depth + 1) for each in values)])


def _models_of_returned(source: Source, function: ast.FunctionDef, depth: int) -> Models:
    returned = _returned(function)
    return _union([_models(source, each, depth + 1) for each in returned]) if returned else Models(frozenset(), False)


def _models_of_call(source: Source, call: ast.Call, depth: int) -> Models:
    if is_model(source, call):
        return Models(frozenset([call]), True)
    origin = source.origin(call.func)
    if isinstance(call.func, ast.Attribute) and call.func.attr in SAME_MODELS:
        return _union([_models(source, each, depth + 1) for each in (call.func.value, *call.args)])
    if origin == "operator.itemgetter" or (isinstance(call.func, ast.Attribute) and call.func.attr in _OF_STORES):
        return Models(frozenset(), True)
    method = method_called(source, call.func)
    if method is not None:
        return _models_of_returned(source, method, depth)
    if isinstance(call.func, ast.Name) and origin is None:
        return _models_of_own(source, call.func.id, depth)
    if not is_langchain(origin):
        return Models(frozenset(), False)
    if _PLAIN_RETRIEVER.search(origin) or is_idle_memory(source, call):
        return Models(frozenset(), True)
    name = origin.rpartition(".")[2]
    if re.search(r"Prompt|Template|Parser$", origin.partition(".")[2]) and "Fixing" not in name and "Retry" not in name:
        return Models(frozenset(), True)
    values = [*call.args, *(each.value for each in call.keywords if each.arg not in _WITHOUT_MODELS)]
    return _union([_models(source, value, depth + 1) for value in values])


def is_idle_memory(source: Source, call: ast.AST) -> bool:
    """Return whether this makes a memory that takes a model, at most to count tokens, and never runs it."""
    origin = source.origin(call.func) if isinstance(call, ast.Call) else None
    return is_langchain(origin) and _IDLE_MEMORY.search(origin) is not None


def _models_of_own(source: Source, name: str, depth: int) -> Models:
    """Return the models in the objects that a function or class of the file makes."""
    function, copying = function_named(source, name), copying_function(source, name)
    maker = function or copying
    if maker is None:
        return Models(frozenset(), _is_plain_parser(source, name))
    found = _models_of_returned(source, maker, depth)
    return Models(frozenset(), False) if copying and found.found else found


def _is_plain_parser(source: Source, name: str) -> bool:
    """Return whether this is a class of the file that parses output, and only handles data for that."""
    classes = [node for node in source.tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if len(classes) != 1 or classes[0].decorator_list or not classes[0].bases:
        return False
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in classes[0].bases]
    parsers = all(is_langchain(origin := source.origin(base)) and origin.endswith("OutputParser") for base in bases)
    return parsers and _is_plain(source, classes[0])


def stored_in(source: Source, node: ast.Attribute) -> ast.expr | None:
    """Return the one value, besides None, that the class stores in an attribute of `self`."""
    values = attribute_values(source, node)
    return values[0] if len(values) == 1 else None


def makes_model(source: Source, node: ast.expr, depth: int = 0) -> bool:
    """Return whether an expression is a model and not a chain: made here, or by a function or method of the file."""
    if depth > _DEPTH:
        return False
    if isinstance(node, ast.Name):
        values = values_of(source, node)
    elif isinstance(node, ast.Attribute):
        method = method_called(source, node)
        values = attribute_values(source, node) if method is None else _returned(method)
    elif isinstance(node, ast.Call):
        if is_model(source, node):
            return True
        function = method_called(source, node.func)
        function = function_named(source, node.func.id) if isinstance(node.func, ast.Name) else function
        values = [] if function is None else _returned(function)
    elif isinstance(node, ast.IfExp):
        values = [node.body, node.orelse]
    else:
        return False
    return bool(values) and all(makes_model(source, each, depth + 1) for each in values)


def runs_one(source: Source, run: ast.Call) -> bool:
    """Return whether a call runs one model once, as far as the file shows, though maybe one of several."""
    holding = [each for each in steps_of(source, receiver(run)) if _models(source, each, 0).found]
    return len(holding) == 1 and makes_model(source, holding[0])


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    return [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]


def parts_of(source: Source, node: ast.expr) -> list[ast.AST]:
    """Return the nodes that make a runnable: of the expression, and of what its names, attributes and calls stand for.

    Handlers are left out, as they are no parts of it.
    """
    found: dict[ast.AST, None] = {}
    waiting: list[ast.AST] = [node]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            waiting += [*_below(each), *_behind(source, each)]
    return list(found)


def _below(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg in ("callbacks", "callback_manager"):
        return []
    return list(ast.iter_child_nodes(node))


def _behind(source: Source, node: ast.AST) -> list[ast.AST]:
    """Return what a node stands for: the values of a variable, what a function returns, or the function itself as a step."""
    if not isinstance(node, ast.expr):
        return []
    found: list[ast.AST] = [*session_values(source, node)]
    if isinstance(node, ast.Attribute):
        method = method_called(source, node)
        found += attribute_values(source, node) if method is None else _returned(method)
    if isinstance(node, ast.Name):
        function, parent = function_named(source, node.id) or copying_function(source, node.id), source.parents[node]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if function is not None:
            found += _returned(function) if is_called else [function]
        elif is_called:
            parsers = [each for each in source.tree.body if isinstance(each, ast.ClassDef) and each.name == node.id]
            found += parsers if _is_plain_parser(source, node.id) else values_of(source, node)
        else:
            found += values_of(source, node)
    return found


def values_of(source: Source, name: ast.Name) -> list[ast.expr]:
    """Return all values that a name may have: its assignments, or the arguments for it if it is a parameter."""
    given = argument_of(source, name)
    return source.values(name) if given is None else [given]


def _is_plain(source: Source, function: ast.FunctionDef | ast.Lambda | ast.ClassDef, depth: int = 0) -> bool:
    """Return whether a function or class only handles text and data, or searches, and so runs no model."""
    nodes = list(ast.walk(function))
    if any(isinstance(node, ast.Attribute) and node.attr == "session_state" for node in nodes):
        return False  # which is not there in the thread that runs the call
    return all(_is_of_data(source, node) or _is_search(source, node, depth) for node in nodes if isinstance(node, ast.Call))


def _is_of_data(source: Source, call: ast.Call) -> bool:
    origin = source.origin(call.func)
    if is_langchain(origin):
        return _RECORD.search(origin) is not None
    if origin is not None and origin.partition(".")[0] in _DATA_MODULES:
        return True
    if isinstance(call.func, ast.Attribute) and call.func.attr == "load_memory_variables":
        return _is_plain_memory(source, call.func.value)
    if isinstance(call.func, ast.Name):
        return call.func.id in _BUILTINS and source.is_builtin(call.func.id, call)
    return isinstance(call.func, ast.Attribute) and call.func.attr in _OF_DATA


def _is_search(source: Source, call: ast.Call, depth: int) -> bool:
    """Return whether a call searches with an object that holds no model."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in _SEARCHES:
        return isinstance(call.func, ast.Attribute) and call.func.attr in _OF_STORES
    models = _models(source, call.func.value, depth + 2)  # functions that search through each other come to an end
    return models.complete and not models.found


def _is_plain_memory(source: Source, node: ast.expr) -> bool:
    values = values_of(source, node) if isinstance(node, ast.Name) else []
    made = [source.origin(each.func) for each in values if isinstance(each, ast.Call)]
    return bool(made) and len(made) == len(values) and all(is_langchain(each) and _PLAIN_MEMORY.search(each) for each in made)


def _union(parts: list[Models]) -> Models:
    return Models(frozenset().union(*(part.found for part in parts)), all(part.complete for part in parts))
