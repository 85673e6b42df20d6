// The page: what is asked, and what is shown of the answer.

import { transports } from "./transports.js";

const find = (selector, root = document) => root.querySelector(selector);
const form = find("#form");
const question = find("#question");
const log = find("#log");

let stopAnswer = null;  // while an answer is on

// -- one question and its answer

class Turn {
  constructor(asked) {
    const piece = find("#turn").content.cloneNode(true);
    find(".question .text", piece).textContent = asked;
    this.answer = find(".answer", piece);
    this.tools = new Map();
    log.append(piece);
    keepInView(true);
  }

  receive(event, data) {
    const atEnd = isAtEnd();
    this[event]?.(JSON.parse(data));  // frames of other names are for newer pages
    keepInView(atEnd);
  }

  completion({ token }) {
    find(".text", this.answer).append(token);
  }

  tool_start({ id, name, input }) {
    const line = document.createElement("li");
    const label = document.createElement("code");
    label.textContent = name;
    line.append(label, " ", describe(input));
    line.className = "active";
    const list = find(".tools", this.answer);
    list.hidden = false;
    list.append(line);
    this.tools.set(id, line);
    say(`Using ${name}`);
  }

  tool_end({ id }) {
    this.tools.get(id)?.classList.replace("active", "done");
    say("Answering");
  }

  tool_error({ id }) {
    this.tools.get(id)?.classList.replace("active", "failed");
  }

  source_documents({ source_documents: documents }) {
    const details = find(".sources", this.answer);
    const list = find("ol", details);
    for (const { page_content, metadata } of documents) {
      const line = document.createElement("li");
      const title = document.createElement("cite");
      title.textContent = metadata.title ?? metadata.source ?? "Untitled";
      line.append(title, " ", page_content);
      list.append(line);
    }
    find("summary", details).textContent = list.children.length === 1 ? "1 source" : `${list.children.length} sources`;
    details.hidden = false;
  }

  error({ detail }) {
    const line = find(".error", this.answer);
    line.textContent = detail;
    line.hidden = false;
  }

  finish(reason) {
    const atEnd = isAtEnd();
    const failed = !find(".error", this.answer).hidden;
    if (reason === "lost" && !failed) this.error({ detail: "The connection was lost." });
    find(".note", this.answer).hidden = reason !== "stopped";
    for (const line of this.tools.values()) line.classList.remove("active");
    this.answer.setAttribute("aria-busy", "false");
    say(reason === "stopped" ? "Stopped" : failed || reason === "lost" ? "Failed" : "Done");
    keepInView(atEnd);
  }
}

function describe(input) {
  const values = input !== null && typeof input === "object" ? Object.values(input) : [input];
  return values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(", ");
}

// -- the form

function ask(text) {
  if (stopAnswer !== null || !text.trim()) return;
  find("#welcome").hidden = true;
  question.value = "";
  const turn = new Turn(text.trim());
  const chosen = find("input[name=transport]:checked").value;
  setBusy(true);
  say("Waiting for the answer");
  stopAnswer = transports[chosen](
    { question: text.trim(), model: find("#model").value },
    (event, data) => turn.receive(event, data),
    (reason) => {
      stopAnswer = null;
      setBusy(false);
      turn.finish(reason);
    },
  );
}

function setBusy(busy) {
  const hadFocus = document.activeElement === find("#stop") || document.activeElement === find("#send");
  find("#send").hidden = busy;
  find("#stop").hidden = !busy;
  find("#model").disabled = find("#transport").disabled = busy;
  if (hadFocus) question.focus();  // the focused button has just gone
}

function say(text) {
  find("#status").textContent = text;
}

// -- scrolling: follow the answer, unless the reader has scrolled away

function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = document.documentElement;
  return scrollHeight - scrollTop - clientHeight < 40;
}

function keepInView(wanted) {
  if (wanted) scrollTo({ top: document.documentElement.scrollHeight });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(question.value);
});

question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stopAnswer?.();
});

find("#stop").addEventListener("click", () => stopAnswer?.());

for (const button of document.querySelectorAll(".suggestion")) {
  button.addEventListener("click", () => {
    ask(button.textContent);
    question.focus();
  });
}

const models = await (await fetch("models")).json();
find("#model").append(...models.map((name) => new Option(name, name)));
find(".model").hidden = models.length < 2;
document.documentElement.dataset.ready = "";  // keys and buttons do something from here on
