// The run is in the address: a reload, or a second tab, reads the same one.
const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };
let source = null;

function follow(run) {
  source?.close();
  at("answer").textContent = "";
  at("stop").disabled = false;
  at("tab").href = `#${run}`;
  at("tab").hidden = false;
  say("Waiting for a worker");
  // EventSource comes back by itself after an interruption, and says which frame it had last.
  source = new EventSource(`/runs/${encodeURIComponent(run)}/events`);
  source.addEventListener("completion", (event) => {
    at("answer").textContent += JSON.parse(event.data).token;
    say("The worker answers");
  });
  source.addEventListener("error", (event) => {
    if (event.data) {
      const { status_code: code, detail } = JSON.parse(event.data);
      finish(code === 499 ? "Stopped" : code === 502 ? "The worker has died" : detail);
    } else if (source.readyState === EventSource.CLOSED) {
      finish("There is no such run");
    } else {
      say("Interrupted; coming back");
    }
  });
  source.addEventListener("end", () => finish("Ready"));
}

function finish(text) {
  source.close();
  at("stop").disabled = true;
  if (at("status").dataset.over !== source.url) {
    at("status").dataset.over = source.url;
    say(text);
  }
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ question: at("question").value });
  const { run } = await (await fetch("/runs", { method: "POST", headers, body })).json();
  location.hash = run;
});
at("stop").addEventListener("click", () => fetch(`/runs/${location.hash.slice(1)}/stop`, { method: "POST" }));
at("kill").addEventListener("click", () => fetch("/worker/kill", { method: "POST" }));
addEventListener("hashchange", () => follow(location.hash.slice(1)));
if (location.hash) follow(location.hash.slice(1));
