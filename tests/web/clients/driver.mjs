// Real clients, headless. Reads one request per line: {"id", "client", "url", ...}; writes one line per request: {"id", "seen"}.
// What is seen is what a page would show: texts, tools, sources, an error, and whether the answer looks whole.

import { createInterface } from "node:readline";

const aiVersions = { "ai-5.0.115": "ai5-strict", "ai-5": "ai5", "ai-6.0.150": "ai6-strict", "ai-6": "ai6", "ai-7": "ai7" };

class PlainState {
  constructor(onChange) {
    this.onChange = onChange;
    this.status = "ready";
    this.error = undefined;
    this.messages = [];
    this.pushMessage = (message) => { this.messages = [...this.messages, message]; this.onChange(message); };
    this.popMessage = () => { this.messages = this.messages.slice(0, -1); };
    this.replaceMessage = (index, message) => {
      this.messages = this.messages.map((each, at) => (at === index ? structuredClone(message) : each));
      this.onChange(message);
    };
    this.snapshot = (value) => structuredClone(value);
  }
}

const ai = Object.fromEntries(
  await Promise.all(Object.entries(aiVersions).map(async ([name, alias]) => [name, await import(alias)])),
);

function makeChat(kit, request, finished) {
  class Chat extends kit.AbstractChat {}
  let chat;
  const stopAt = request.stopAt;
  const state = new PlainState((message) => {
    if (stopAt && message.role === "assistant" && textOf(message).includes(stopAt)) chat.stop();
  });
  const transport = request.socket
    ? new kit.WebSocketChatTransport({ url: request.url })
    : new kit.DefaultChatTransport({ api: request.url });
  chat = new Chat({
    id: "chat",
    state,
    transport,
    onError: () => {},
    onFinish: ({ message, messages, ...rest }) => finished.push(rest),
  });
  return { chat, transport };
}

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");

async function chatWithAi(request) {
  const kit = ai[request.client];
  const finished = [];
  const { chat, transport } = makeChat(kit, request, finished);
  for (const text of request.texts ?? ["hello"]) await chat.sendMessage(typeof text === "string" ? { text } : text);
  if (request.regenerate) await chat.regenerate();
  transport.close?.();
  const last = chat.messages.at(-1);
  const parts = last?.role === "assistant" ? last.parts : [];
  return {
    roles: chat.messages.map((message) => message.role),
    messages: chat.messages,
    status: chat.status,
    error: chat.error?.message ?? null,
    finish: finished.at(-1) ?? null,
    whole: chat.status === "ready" && chat.error === undefined && !finished.at(-1)?.isAbort && !finished.at(-1)?.isError,
    texts: parts.filter((part) => part.type === "text").map((part) => part.text),
    reasoning: parts.filter((part) => part.type === "reasoning").map((part) => part.text).join(""),
    tools: parts
      .filter((part) => part.type === "dynamic-tool")
      .map(({ toolName, toolCallId, state, input, output, errorText }) => ({ toolName, toolCallId, state, input, output, errorText })),
    sources: parts.filter((part) => part.type.startsWith("source-")).map((part) => part.title),
    data: parts.filter((part) => part.type.startsWith("data-")),
  };
}

async function chatWithAgUi(request) {
  const { HttpAgent } = await import("@ag-ui/client");
  const agent = new HttpAgent({ url: request.url, threadId: "thread" });
  agent.messages = request.messages ?? [{ id: "u1", role: "user", content: "hello" }];
  const before = agent.messages.length;
  const seen = { error: null, outcome: null, finished: false, custom: [], stopped: false };
  const parsed = {};
  const subscriber = {
    onTextMessageContentEvent: ({ textMessageBuffer, event }) => {
      if (request.stopAt && !seen.stopped && `${textMessageBuffer ?? ""}${event.delta}`.includes(request.stopAt)) {
        seen.stopped = true;
        agent.abortRun();
      }
    },
    onToolCallEndEvent: ({ event, toolCallArgs }) => { parsed[event.toolCallId] = toolCallArgs; },
    onCustomEvent: ({ event }) => { seen.custom.push({ name: event.name, value: event.value }); },
    onRunErrorEvent: ({ event }) => { seen.error = event.message; },
    onRunFinishedEvent: ({ event, outcome }) => { seen.finished = true; seen.outcome = event.outcome?.type ?? outcome?.type ?? outcome ?? null; },
    onRunFailed: ({ error }) => { seen.error ??= error.message; },
  };
  try {
    await agent.runAgent({}, subscriber);
  } catch (error) {
    seen.error ??= error.message;
  }
  const messages = agent.messages.slice(before);
  const results = Object.fromEntries(messages.filter((each) => each.role === "tool").map((each) => [each.toolCallId, each.content]));
  return {
    ...seen,
    messages,
    whole: seen.finished && seen.error === null && seen.outcome !== "cancelled" && seen.outcome !== "interrupt",
    texts: messages.filter((each) => each.role === "assistant" && each.content).map((each) => each.content),
    reasoning: messages.filter((each) => each.role === "reasoning").map((each) => each.content).join(""),
    tools: messages
      .flatMap((each) => each.toolCalls ?? [])
      .map((call) => ({ toolName: call.function.name, toolCallId: call.id, input: parsed[call.id], output: results[call.id] })),
    sources: seen.custom.filter((each) => each.name === "source").map((each) => each.value.title),
  };
}

async function chatWithOpenAi(request) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: request.url, apiKey: "none", maxRetries: 0 });
  const seen = { text: "", error: null, status: null, reason: null, usage: null, toolCalls: [], reasoning: "" };
  try {
    const stream = await client.chat.completions.create({
      model: "tea",
      stream: true,
      stream_options: { include_usage: true },
      messages: request.messages ?? [{ role: "user", content: "hello" }],
    });
    for await (const chunk of stream) {
      const choice = chunk.choices[0];
      seen.text += choice?.delta?.content ?? "";
      seen.reasoning += choice?.delta?.reasoning_content ?? "";
      seen.toolCalls.push(...(choice?.delta?.tool_calls ?? []));
      seen.reason = choice?.finish_reason ?? seen.reason;
      seen.usage = chunk.usage ?? seen.usage;
      if (request.stopAt && seen.text.includes(request.stopAt)) stream.controller.abort();
    }
  } catch (error) {
    seen.error = error.message;
    seen.status = error.status ?? null;
  }
  return { ...seen, texts: [seen.text], whole: seen.error === null && seen.reason === "stop" };
}

async function answer(request) {
  if (request.client in ai) return chatWithAi(request);
  if (request.client === "ag-ui") return chatWithAgUi(request);
  if (request.client === "openai") return chatWithOpenAi(request);
  if (request.client === "schema") return validate(request);
  throw new Error(`no such client: ${request.client}`);
}

// Whether each chunk is one that every version knows, without a key too many.
async function validate(request) {
  const problems = [];
  for (const [name, kit] of Object.entries(ai)) {
    const schema = typeof kit.uiMessageChunkSchema === "function" ? kit.uiMessageChunkSchema() : kit.uiMessageChunkSchema;
    for (const chunk of request.chunks) {
      const result = await schema.validate(chunk);
      if (!result.success) problems.push(`${name}: ${JSON.stringify(chunk)}: ${result.error.message}`);
    }
  }
  return { problems };
}

// Clients reject promises that nobody holds when a connection breaks; a page would only note that in its console.
process.on("unhandledRejection", () => {});
process.on("uncaughtException", () => {});
console.error = () => {};  // clients report errors there, too
console.warn = () => {};
process.stdout.write('{"id":0,"seen":"ready"}\n');
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  answer(request)
    .catch((error) => ({ crash: String(error?.stack ?? error) }))
    .then((seen) => process.stdout.write(`${JSON.stringify({ id: request.id, seen })}\n`));
}
