// The page: React and the AI SDK's `useChat`. Everything it shows comes from the format "ai-sdk".

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const transport = new DefaultChatTransport({ api: "/api/chat" });

function Chat({ models }) {
  const [model, setModel] = useState(models[0]);
  const [question, setQuestion] = useState("");
  const { messages, sendMessage, regenerate, stop, status, error } = useChat({ transport });
  const isBusy = status === "submitted" || status === "streaming";

  function ask(event) {
    event.preventDefault();
    if (question.trim() && !isBusy) sendMessage({ text: question }, { body: { model } });
    setQuestion("");
  }

  return (
    <>
      <header>
        <h1>Tea notes, by the AI SDK</h1>
        <label className="model">
          Model{" "}
          <select id="model" value={model} onChange={(event) => setModel(event.target.value)}>
            {models.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      </header>
      <main>
        <div id="log" role="log" aria-label="Conversation">
          {messages.map((message) => <Message key={message.id} message={message} />)}
          {error && <p className="error" role="alert">{error.message}</p>}
        </div>
      </main>
      <footer>
        <form id="form" onSubmit={ask}>
          <label htmlFor="question">Your question</label>
          <div className="row">
            <input id="question" value={question} onChange={(event) => setQuestion(event.target.value)} autoFocus autoComplete="off" />
            {isBusy ? <button id="stop" type="button" onClick={stop}>Stop</button> : <button id="send" type="submit">Send</button>}
            {!isBusy && messages.length > 0 && (
              <button id="retry" type="button" onClick={() => regenerate({ body: { model } })}>Retry</button>
            )}
          </div>
          <p className="below"><span id="status" role="status">{status}</span></p>
        </form>
      </footer>
    </>
  );
}

function Message({ message }) {
  const sources = message.parts.filter((part) => part.type === "source-document" || part.type === "source-url");
  return (
    <article className={message.role === "user" ? "turn question" : "turn answer"}>
      {message.parts.map((part, index) => <Part key={index} part={part} />)}
      {sources.length > 0 && (
        <details className="sources">
          <summary>{sources.length === 1 ? "1 source" : `${sources.length} sources`}</summary>
          <ol>
            {sources.map((source) => (
              <li key={source.sourceId}><cite>{source.url ? <a href={source.url}>{source.title}</a> : source.title}</cite></li>
            ))}
          </ol>
        </details>
      )}
    </article>
  );
}

function Part({ part }) {
  if (part.type === "text") return <p className="text">{part.text}</p>;
  if (part.type === "reasoning") return <details className="reasoning"><summary>Reasoning</summary>{part.text}</details>;
  if (part.type === "dynamic-tool") {
    const state = { "output-available": "done", "output-error": "failed" }[part.state] ?? "active";
    const values = Object.values(part.input ?? {}).join(", ");
    return <p className={`tool ${state}`}><code>{part.toolName}</code> {[values, part.errorText].filter(Boolean).join(": ")}</p>;
  }
  return null;
}

const models = await (await fetch("/models")).json();
createRoot(document.getElementById("page")).render(<StrictMode><Chat models={models} /></StrictMode>);
document.documentElement.dataset.ready = "";
