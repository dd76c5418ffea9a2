// Questions and answers: one turn a card, streamed, stopped, kept.

import { Channel, invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { element, make } from "../dom";
import { showError } from "../notice";
import { stage } from "../stage/stage";
import type { AnswerEvent, AskDto, ErrorDto, ModelDto, StartupDto } from "../wire";

/** One question with its answer as it grows. Text arrives many times a frame and is drawn once a frame. */
class TurnCard {
  readonly root = make("article", "turn");
  private readonly picture = make("img");
  private readonly seen = make("p", "seen");
  private readonly reasoningBox = make("details", "reasoning");
  private readonly reasoningTitle = make("summary", "", "Reasoning…");
  private readonly reasoningText = make("div");
  private readonly answerBox = make("div", "answer", "");
  private readonly cost = make("p", "cost", "Reading the view…");
  private reasoning = "";
  private answer = "";
  private drawing = false;
  private readonly begun = performance.now();
  private reasonedSecs: number | null = null;

  constructor(question: string, onReturn: () => void) {
    const asked = make("div", "asked");
    const words = make("div");
    words.append(make("p", "question", question), this.seen);
    this.picture.alt = "The view that was asked about";
    this.picture.hidden = true;
    this.picture.title = "Return to this view";
    this.picture.addEventListener("click", onReturn);
    asked.append(this.picture, words);
    this.reasoningBox.append(this.reasoningTitle, this.reasoningText);
    this.reasoningBox.hidden = true;
    this.answerBox.hidden = true;
    this.root.append(asked, this.reasoningBox, this.answerBox, this.cost);
  }

  /** Takes one event; returns whether it was the last. */
  take(event: AnswerEvent): boolean {
    switch (event.kind) {
      case "seen": {
        this.picture.src = event.picture_url;
        this.picture.hidden = false;
        const scale = event.um_per_px === null ? "" : ` · ${event.um_per_px.toFixed(2)} µm/px`;
        this.seen.textContent = `${event.width_px} × ${event.height_px} px · ${event.n_token} tokens${scale}`;
        return false;
      }
      case "prefilled":
        this.cost.textContent = "Thinking…";
        return false;
      case "reasoning":
        this.reasoning += event.delta;
        break;
      case "answer":
        this.reasonedSecs ??= (performance.now() - this.begun) / 1000;
        this.answer += event.delta;
        break;
      case "done": {
        const stopped = event.reason === "stopped" ? "stopped · " : event.reason === "length" ? "cut at the length limit · " : "";
        this.cost.textContent = `${stopped}${event.n_token} tokens · ${event.token_per_sec.toFixed(1)} tokens/s · first after ${event.first_token_secs.toFixed(2)} s · ${event.device}`;
        this.draw();
        return true;
      }
      case "failed":
        this.fail(event.error);
        return true;
    }
    this.drawSoon();
    return false;
  }

  fail(error: ErrorDto): void {
    this.root.classList.add("failed");
    this.answer = error.hint ? `${error.message}\n${error.hint}` : error.message;
    this.cost.textContent = "";
    this.draw();
  }

  private drawSoon(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.drawing = false;
    if (this.reasoning) {
      this.reasoningBox.hidden = false;
      this.reasoningText.textContent = this.reasoning.trim();
      this.reasoningTitle.textContent = this.reasonedSecs === null ? "Reasoning…" : `Reasoned for ${this.reasonedSecs.toFixed(1)} s`;
    }
    const answer = this.answer.trim();
    this.answerBox.hidden = answer === "";
    const letter = /^[A-Z](?=$|[.)]\s)/.exec(answer)?.[0];
    if (letter && !this.root.classList.contains("failed")) {
      const choice = this.choices.get(letter);
      this.answerBox.replaceChildren(make("span", "letter", letter), choice ?? answer.slice(1).replace(/^[.)]\s*/, ""));
    } else {
      this.answerBox.textContent = answer;
    }
  }

  /** Letter → text of the offered choices, so that "B" is shown with its words. */
  choices = new Map<string, string>();
}

class AskPanel {
  private readonly turns = element("turns");
  private readonly question = element<HTMLTextAreaElement>("question");
  private readonly options = element<HTMLTextAreaElement>("options");
  private readonly send = element<HTMLButtonElement>("send");
  private readonly stop = element<HTMLButtonElement>("stop");
  private running: number | null = null;
  private nextTurn = 0;

  constructor() {
    element("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask(this.question.value);
    });
    this.question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        void this.ask(this.question.value);
      }
    });
    this.question.addEventListener("input", () => this.refresh());
    this.stop.addEventListener("click", () => void this.halt());
  }

  suggest(questions: string[]): void {
    const buttons = questions.map((question) => {
      const button = make("button", "", question);
      button.type = "button";
      button.addEventListener("click", () => void this.ask(question));
      return button;
    });
    element("suggestions").replaceChildren(...buttons);
  }

  async halt(): Promise<void> {
    if (this.running !== null) await invoke("stop", { turn: this.running });
  }

  refresh(): void {
    const busy = this.running !== null;
    commands.need("answering", busy);
    this.stop.hidden = !busy;
    this.send.hidden = busy;
    this.send.disabled = stage.slide() === null || this.question.value.trim() === "";
  }

  private async ask(text: string): Promise<void> {
    const question = text.trim();
    const view = stage.view();
    const slide = stage.slide();
    if (!question || slide === null || view === null || this.running !== null) return;
    const options = this.options.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const turn = this.nextTurn++;
    const card = new TurnCard(question, () => void stage.show({ handle: slide.handle, path: slide.path }, view));
    options.forEach((option, idx) => card.choices.set(String.fromCharCode(65 + idx), option));
    element("turns-empty").hidden = true;
    this.turns.append(card.root);
    this.question.value = "";
    this.running = turn;
    this.refresh();
    const channel = new Channel<AnswerEvent>();
    const ended = () => {
      this.running = null;
      this.refresh();
    };
    channel.onmessage = (event) => {
      const atEnd = this.turns.scrollHeight - this.turns.scrollTop - this.turns.clientHeight < 80;
      if (card.take(event)) ended();
      // Follow the text only where the reader has not scrolled away.
      if (atEnd) this.turns.scrollTop = this.turns.scrollHeight;
    };
    const request: AskDto = { turn, slide: slide.handle, view, question, options };
    this.turns.scrollTop = this.turns.scrollHeight;
    try {
      await invoke("ask", { request, channel });
    } catch (error) {
      card.fail(error as ErrorDto);
      ended();
    }
  }
}

export function beginAsk(startup: StartupDto): void {
  const panel = new AskPanel();
  panel.suggest(startup.suggestions);
  stage.onChange(() => panel.refresh());
  commands.on("stop", () => void panel.halt());
  commands.on("ask", () => element("question").focus());
  invoke<ModelDto>("model").then((model) => (element("model").textContent = `${model.name} · ${model.device}`), showError);
}
