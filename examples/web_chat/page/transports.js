// Three ways to the same frames. Each function asks one question and returns a function that stops the answer.
//
//   receive(event, data)   one frame: "completion", "tool_start", "tool_end", "tool_error", "source_documents", "error"
//   finish(reason)         once, when nothing more will come: "end", "stopped", or "lost" if the connection broke

const FRAMES = ["completion", "tool_start", "tool_end", "tool_error", "source_documents"];

export const transports = { eventsource, fetch: fetchStream, websocket };

// -- EventSource: GET, and the browser parses. Closing it is what tells the server to stop.

function eventsource(ask, receive, finish) {
  const done = once(finish);
  const source = new EventSource("events?" + new URLSearchParams(ask));
  const leave = (reason) => { source.close(); done(reason); };  // left open, it would ask again
  for (const name of FRAMES) {
    source.addEventListener(name, (event) => receive(name, event.data));
  }
  source.addEventListener("error", (event) => {
    if (event.data === undefined) leave("lost");  // the browser's own error, not the server's
    else receive("error", event.data);
  });
  source.addEventListener("end", () => leave("end"));
  return () => leave("stopped");
}

// -- fetch: POST, so the question may be long and stays out of logs; what comes is parsed here.

function fetchStream(ask, receive, finish) {
  const done = once(finish);
  const abort = new AbortController();
  readEvents(ask, abort.signal, receive).then(done, () => done(abort.signal.aborted ? "stopped" : "lost"));
  return () => abort.abort();
}

async function readEvents(ask, signal, receive) {
  const headers = { "content-type": "application/json" };
  const response = await fetch("events", { method: "POST", headers, body: JSON.stringify(ask), signal });
  if (!response.ok) {
    receive("error", await response.text());
    return "end";
  }
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + part).split("\r\n\r\n");
    text = blocks.pop();
    for (const block of blocks) {
      const [event, data] = parse(block);
      if (event === "end") return "end";
      if (event) receive(event, data);
    }
  }
  return "lost";
}

function parse(block) {
  const fields = { event: [], data: [] };
  for (const line of block.split("\r\n")) {
    const [, name, value] = /^(event|data): ?(.*)$/.exec(line) ?? [];  // comments are heartbeats
    if (name) fields[name].push(value);
  }
  return [fields.event.join(), fields.data.join("\n")];
}

// -- WebSocket: one connection for all questions of the page; stopping is a message.

let socket = null;

function websocket(ask, receive, finish) {
  let stopped = false;
  const quiet = new AbortController();
  const done = once((reason) => { quiet.abort(); finish(reason); });
  if (socket === null || socket.readyState > WebSocket.OPEN) {
    socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
  }
  const own = socket;
  own.addEventListener("message", (message) => {
    const { event, data } = JSON.parse(message.data);
    if (event === "end") done(stopped ? "stopped" : "end");
    else if (!stopped) receive(event, data);  // what is still on its way, and an error that says "Cancelled"
  }, { signal: quiet.signal });
  own.addEventListener("close", () => done("lost"), { signal: quiet.signal });
  const send = (message) => {
    if (own.readyState === WebSocket.OPEN) own.send(JSON.stringify(message));
    else own.addEventListener("open", () => own.send(JSON.stringify(message)), { once: true, signal: quiet.signal });
  };
  send(ask);
  return () => { stopped = true; send({ type: "cancel" }); };
}

function once(call) {
  let called = false;
  return (value) => {
    if (!called) call(value);
    called = true;
  };
}
