// Questions and answers: the chat that is shown, the field to ask in, and the answer that is being made.

import { Channel, invoke } from "@tauri-apps/api/core";

import { commands } from "../commands";
import { element, make, makeButton } from "../dom";
import { asReport, showError, trying } from "../notice";
import { onDropOver } from "../stage/opening";
import { stage } from "../stage/stage";
import { onLanguage, text } from "../texts";
import type { AnswerDto, AnswerEvent, AskDto, ChatDto, PictureDto, PictureSourceDto, SettingsDto, TurnDto } from "../wire";
import { model } from "./models";
import { showPanel } from "../side";
import { Tray } from "./tray";
import { TurnCard, type TurnHooks } from "./turn";

class AskPanel implements TurnHooks {
  private readonly turns = element("turns");
  private readonly question = element<HTMLTextAreaElement>("question");
  private readonly options = element<HTMLTextAreaElement>("options");
  private readonly send = element<HTMLButtonElement>("send");
  private readonly stopButton = element<HTMLButtonElement>("stop");
  private readonly tray = new Tray(() => this.refresh());
  private cards: TurnCard[] = [];
  private chat: number | null = null;
  /** The answer that is being made: its card, and its name once it has one. */
  private running: { card: TurnCard; run: number | null } | null = null;
  /** Stop was pressed before the answer had a name. */
  private stopSoon = false;
  private title = "";

  begin(suggestions: string[]): void {
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
    this.stopButton.addEventListener("click", () => this.halt());
    element("add-region").addEventListener("click", () => this.tray.addView(stage.selection()?.bounds ?? null));
    element("add-whole").addEventListener("click", () => void this.tray.addWhole());
    onDropOver("ask", (paths) => this.tray.add(paths.map((path) => ({ kind: "file", path }))));
    element("add-files").addEventListener("click", () => void this.tray.addFiles());
    element("add-view").addEventListener("click", () => this.tray.addView(stage.view()));
    commands.on("ask", () => {
      showPanel("ask");
      this.question.focus();
    });
    commands.on("ask-region", () => {
      showPanel("ask");
      this.tray.addView(stage.selection()?.bounds ?? null);
      this.question.focus();
    });
    commands.on("ask-slide", () => {
      showPanel("ask");
      void this.tray.addWhole();
      this.question.focus();
    });
    commands.on("add-view", () => {
      showPanel("ask");
      this.tray.addView(stage.view());
    });
    commands.on("stop", () => this.halt());
    commands.on("regenerate", () => {
      const last = this.cards.at(-1);
      if (last) this.again(last.turn);
    });
    commands.on("new-chat", () => {
      showPanel("ask");
      this.show(null);
      this.question.focus();
    });
    stage.onChange(() => this.refresh());
    model.onChange(() => {
      this.refresh();
      void this.tray.refresh();
    });
    onLanguage(() => {
      for (const card of this.cards) card.draw();
      this.refresh();
    });
    const buttons = suggestions.map((question) => makeButton("suggestion", question, () => void this.ask(question)));
    element("suggestions").replaceChildren(...buttons);
    this.refresh();
  }

  /** Shows a chat of the case book, or an empty one. */
  show(chat: ChatDto | null): void {
    this.chat = chat?.id ?? null;
    this.title = chat?.title ?? "";
    this.cards = (chat?.turns ?? []).map((turn) => new TurnCard(turn, this));
    this.turns.replaceChildren(...this.cards.map((card) => card.root));
    this.turns.scrollTop = this.turns.scrollHeight;
    this.tray.reset();
    this.refresh();
  }

  /** Shows a kept chat; the one that is shown stays where it cannot be read. */
  async open(id: number): Promise<void> {
    const chat = await trying(() => invoke<ChatDto>("chat", { id }));
    if (chat) this.show(chat);
  }

  /** The chat that is shown. */
  current(): number | null {
    return this.chat;
  }

  isBusy(): boolean {
    return this.running !== null;
  }

  goTo(picture: PictureDto): void {
    if (picture.view === null || picture.slide_id === null) return;
    void stage.show({ id: picture.slide_id }, picture.view).then((shown) => {
      if (!shown) showError({ code: "not_open", message: text("ask.slide-not-open", { title: picture.title ?? "" }), hint: text("ask.open-slide-again") });
    });
  }

  again(turn: TurnDto): void {
    const card = this.cards.find((each) => each.turn === turn);
    if (!card || this.chat === null || this.running) return;
    const chat = this.chat;
    turn.answers.push(this.emptyAnswer());
    turn.shown = turn.answers.length - 1;
    // What followed another answer belongs to that one.
    this.dropAfter(card);
    void this.hear(card, (channel) => invoke("ask_again", { chat, turn: turn.id, settings: this.settings(), channel }));
  }

  edit(turn: TurnDto, question: string): void {
    const at = this.cards.findIndex((each) => each.turn === turn);
    if (at < 0 || this.chat === null || this.running) return;
    const chat = this.chat;
    const pictures = turn.pictures.map((_, index): PictureSourceDto => ({ kind: "kept", chat, turn: turn.id, index }));
    const fresh: TurnDto = { ...turn, question, answers: [this.emptyAnswer()], shown: 0, versions: [...turn.versions] };
    const card = new TurnCard(fresh, this);
    const old = this.cards[at];
    if (old) this.dropAfter(old);
    old?.root.replaceWith(card.root);
    this.cards[at] = card;
    const request: AskDto = {
      chat,
      parent: turn.parent,
      question,
      choices: turn.choices,
      style: turn.style === "" ? null : turn.style,
      system: turn.system,
      pictures,
      settings: this.settings(),
    };
    void this.hear(card, (channel) => invoke("ask", { request, channel }));
  }

  showAnswer(turn: TurnDto, at: number): void {
    void this.select(turn.id, turn.answers[at]?.id ?? null);
  }

  showVersion(_turn: TurnDto, version: number): void {
    void this.select(version, null);
  }

  private async select(turn: number, answer: number | null): Promise<void> {
    if (this.chat === null || this.running) return;
    const chat = await trying(() => invoke<ChatDto>("show_version", { chat: this.chat, turn, answer }));
    if (!chat) return;
    const top = this.turns.scrollTop;
    this.show(chat);
    this.turns.scrollTop = top;
  }

  private dropAfter(card: TurnCard): void {
    const at = this.cards.indexOf(card);
    for (const later of this.cards.splice(at + 1)) later.root.remove();
  }

  private emptyAnswer(): AnswerDto {
    const figures = { n_prompt: null, n_generated: null, n_context: null, first_token_secs: null, reasoning_secs: null, tokens_per_sec: null, total_secs: null };
    return { id: 0, state: "running", reason: "", reasoning: "", answer: "", option_probabilities: null, error: null, model: model.name(), device: "", settings: this.settings(), figures };
  }

  private halt(): void {
    if (!this.running) return;
    if (this.running.run === null) this.stopSoon = true;
    else void invoke("stop", { run: this.running.run });
  }

  private refresh(): void {
    const busy = this.running !== null;
    this.stopButton.hidden = !busy;
    this.send.hidden = busy;
    this.send.disabled = this.question.value.trim() === "" || !model.isReady();
    element("turns-empty").hidden = this.cards.length > 0;
    element("suggestions").hidden = !model.isReady() || this.tray.sources().length === 0;
    element("chat-title").textContent = this.title || text("command.new-chat");
    element<HTMLButtonElement>("add-region").disabled = stage.selection() === null;
    for (const id of ["add-whole", "add-view"]) element<HTMLButtonElement>(id).disabled = stage.slide() === null;
    commands.need("answering", busy);
    commands.need("answer", !busy && this.chat !== null && this.cards.length > 0);
  }

  /** What the settings' fields say; empty ones are as the model likes. */
  private settings(): SettingsDto {
    const value = (id: string): number | null => {
      const field = element<HTMLInputElement>(id);
      const typed = Number.parseFloat(field.value);
      return field.value.trim() === "" || !Number.isFinite(typed) ? null : typed;
    };
    const whole = (id: string): number | null => {
      const typed = value(id);
      return typed === null ? null : Math.max(0, Math.round(typed));
    };
    const temperature = value("set-temperature");
    return {
      greedy: temperature === 0,
      temperature: temperature === 0 ? null : temperature,
      top_k: whole("set-top-k"),
      top_p: value("set-top-p"),
      repetition_penalty: value("set-penalty"),
      seed: whole("set-seed"),
      max_tokens: whole("set-max-tokens"),
    };
  }

  private async ask(typed: string): Promise<void> {
    const question = typed.trim();
    if (!question || this.running || !model.isReady()) return;
    const choices = this.options.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const style = element<HTMLSelectElement>("set-style").value;
    const system = element<HTMLTextAreaElement>("set-system").value.trim();
    const parent = this.cards.at(-1)?.answer?.id ?? null;
    const request: AskDto = {
      chat: this.chat,
      parent: this.chat === null || parent === 0 ? null : parent,
      question,
      choices,
      style: style === "" ? null : style,
      system: system === "" ? null : system,
      pictures: this.tray.sources(),
      settings: this.settings(),
    };
    const turn: TurnDto = { id: 0, parent: request.parent, question, choices, style, system: request.system, pictures: this.tray.pictures(), versions: [], answers: [this.emptyAnswer()], shown: 0 };
    const card = new TurnCard(turn, this);
    this.cards.push(card);
    this.turns.append(card.root);
    this.question.value = "";
    this.tray.sent();
    const sent = await this.hear(card, (channel) => invoke("ask", { request, channel }));
    if (!sent && this.question.value === "") this.question.value = question;
  }

  /** Hears an answer to its end; says whether the question was sent at all. */
  private async hear(card: TurnCard, ask: (channel: Channel<AnswerEvent>) => Promise<unknown>): Promise<boolean> {
    this.running = { card, run: null };
    this.stopSoon = false;
    card.draw();
    this.refresh();
    const channel = new Channel<AnswerEvent>();
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      this.running = null;
      this.refresh();
    };
    channel.onmessage = (event) => {
      const atEnd = this.turns.scrollHeight - this.turns.scrollTop - this.turns.clientHeight < 80;
      if (event.kind === "began") this.began(card, event);
      if (event.kind === "unkept") showError(event.error);
      if (card.take(event)) end();
      // Follow the text only where the reader has not scrolled away.
      if (atEnd) this.turns.scrollTop = this.turns.scrollHeight;
    };
    this.turns.scrollTop = this.turns.scrollHeight;
    try {
      await ask(channel);
      return true;
    } catch (error) {
      card.fail(asReport(error));
      end();
      return false;
    }
  }

  private began(card: TurnCard, event: AnswerEvent & { kind: "began" }): void {
    if (this.running?.card === card) this.running.run = event.run;
    if (this.stopSoon) void invoke("stop", { run: event.run });
    if (event.chat !== null && this.chat === null) {
      this.chat = event.chat;
      this.title = card.turn.question;
    }
    if (event.turn !== null && event.turn !== card.turn.id) {
      card.turn.id = event.turn;
      card.turn.versions.push(event.turn);
    }
    if (event.pictures.length > 0) card.turn.pictures = event.pictures;
    card.draw();
    this.refresh();
  }
}

export const askPanel = new AskPanel();

/** A line that stands for nothing to show. */
export function makeEmpty(title: string, words: string): HTMLElement {
  const empty = make("div", "panel-empty");
  empty.append(make("p", "empty-title", title), make("p", "quiet", words));
  return empty;
}
