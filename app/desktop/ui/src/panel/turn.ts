// One question with its answers: what was asked about, reasoning, answer, what it took, and what can be done with it.
// Text arrives many times a frame and is drawn once a frame.

import { make, makeButton, makeIcon } from "../dom";
import { number, text } from "../texts";
import type { AnswerDto, AnswerEvent, ErrorDto, FiguresDto, PictureDto, TurnDto } from "../wire";

/** What a card asks of the panel around it. */
export interface TurnHooks {
  goTo(picture: PictureDto): void;
  again(turn: TurnDto): void;
  edit(turn: TurnDto, question: string): void;
  showAnswer(turn: TurnDto, at: number): void;
  showVersion(turn: TurnDto, version: number): void;
  isBusy(): boolean;
}

/** Letter of an option: A, B, C… */
function letterOf(at: number): string {
  return String.fromCharCode(65 + at);
}

/** Which option an answer chose, by its letter or its words; -1 where it chose none. */
export function chosenOption(answer: string, choices: string[]): number {
  const said = answer.trim();
  const words = choices.map((choice) => choice.trim().toLowerCase());
  const begins = words
    .map((word, at) => ({ word, at }))
    .filter(({ word }) => word !== "" && said.toLowerCase().startsWith(word))
    .sort((a, b) => b.word.length - a.word.length)[0];
  if (begins) return begins.at;
  const letter = /^[([]?([A-Z])(?![A-Za-z0-9])/.exec(said)?.[1];
  const at = letter === undefined ? -1 : letter.charCodeAt(0) - 65;
  return at < choices.length ? at : -1;
}

export class TurnCard {
  readonly root = make("article", "turn");
  private readonly question = make("p", "question");
  private readonly pictures = make("div", "asked-pictures");
  private readonly reasoningBox = make("details", "reasoning");
  private readonly reasoningTitle = make("summary");
  private readonly reasoningText = make("div");
  private readonly answerBox = make("div", "answer");
  private readonly options = make("ul", "options");
  private readonly cost = make("p", "cost");
  private readonly tools = make("div", "turn-tools");
  private drawing = false;
  /** What is going on while there are no words yet. */
  private phase = "";
  private readonly begun = performance.now();
  private firstWord: number | null = null;
  private answerBegan: number | null = null;

  constructor(
    readonly turn: TurnDto,
    private readonly hooks: TurnHooks,
  ) {
    const asked = make("div", "asked");
    asked.append(this.pictures, this.question);
    this.reasoningBox.append(this.reasoningTitle, this.reasoningText);
    this.options.setAttribute("aria-label", text("ask.options-chosen"));
    this.root.append(asked, this.reasoningBox, this.answerBox, this.options, this.cost, this.tools);
    this.draw();
  }

  /** The answer that is shown. */
  get answer(): AnswerDto | undefined {
    return this.turn.answers[this.turn.shown];
  }

  /** Takes an event of the answer that is being made; says whether it was the last. */
  take(event: AnswerEvent): boolean {
    const answer = this.answer;
    if (!answer) return false;
    const now = (performance.now() - this.begun) / 1000;
    switch (event.kind) {
      case "began":
        answer.id = event.answer ?? answer.id;
        this.phase = text("ask.reading");
        break;
      case "planned":
        this.phase = text("ask.reading-tokens", { n: number(event.n_prompt), all: number(event.n_context) });
        break;
      case "prefilled":
        this.phase = text("ask.thinking");
        break;
      case "reasoning":
        this.firstWord ??= now;
        answer.reasoning += event.delta;
        break;
      case "answer":
        this.firstWord ??= now;
        this.answerBegan ??= now;
        answer.answer += event.delta;
        break;
      case "done":
        answer.state = "finished";
        answer.reason = event.reason;
        answer.figures = event.figures;
        answer.option_probabilities = event.option_probabilities;
        this.draw();
        return true;
      case "failed":
        this.fail(event.error);
        return true;
      case "unkept":
        return false;
    }
    this.drawSoon();
    return false;
  }

  /** Shows that there is no answer, and why; the words so far stay. */
  fail(error: ErrorDto): void {
    const answer = this.answer;
    if (answer) {
      answer.state = "finished";
      answer.reason = "failed";
      answer.error = error.hint ? `${error.message}\n${error.hint}` : error.message;
    }
    this.draw();
  }

  private drawSoon(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => this.draw());
  }

  /** Brings the card up to date with its turn. */
  draw(): void {
    this.drawing = false;
    const { turn, answer } = this;
    const running = answer?.state === "running";
    this.root.classList.toggle("running", running);
    this.question.textContent = turn.question;
    this.drawPictures();
    this.drawReasoning(answer, running);
    this.drawAnswer(answer);
    this.drawOptions(answer);
    this.cost.textContent = answer ? (running ? this.progress(answer) : costOf(answer)) : "";
    this.drawTools(answer, running);
  }

  private progress(answer: AnswerDto): string {
    return answer.reasoning === "" && answer.answer === "" ? this.phase || text("ask.reading") : "";
  }

  private drawPictures(): void {
    if (this.pictures.childElementCount === this.turn.pictures.length) return;
    const made = this.turn.pictures.map((picture) => {
      const what = describe(picture);
      const button = makeButton("asked-picture", "", () => this.hooks.goTo(picture));
      const image = make("img");
      image.src = picture.url;
      image.alt = "";
      image.loading = "lazy";
      button.append(image, make("span", "asked-detail", what));
      button.disabled = picture.view === null;
      button.setAttribute("aria-label", picture.view ? text("ask.go-to", { what }) : what);
      button.title = picture.view ? text("ask.go-to", { what }) : what;
      return button;
    });
    this.pictures.replaceChildren(...made);
  }

  private drawReasoning(answer: AnswerDto | undefined, running: boolean): void {
    const words = answer?.reasoning.trim() ?? "";
    this.reasoningBox.hidden = words === "";
    if (words === "") return;
    if (this.reasoningText.textContent !== words) this.reasoningText.textContent = words;
    const live = (this.answerBegan ?? (performance.now() - this.begun) / 1000) - (this.firstWord ?? 0);
    const secs = answer?.figures.reasoning_secs ?? (running ? live : null);
    const still = running && this.answerBegan === null;
    this.reasoningTitle.textContent = still
      ? text("ask.reasoning", { secs: number(live, 1) })
      : secs === null
        ? text("ask.reasoned-plain")
        : text("ask.reasoned", { secs: number(secs, 1) });
  }

  private drawAnswer(answer: AnswerDto | undefined): void {
    const words = answer?.answer.trim() ?? "";
    const failed = answer?.error ?? null;
    const cut = answer?.state === "interrupted" ? text("ask.interrupted") : null;
    const notes = [failed, cut].filter((note) => note !== null);
    this.answerBox.hidden = words === "" && notes.length === 0;
    this.root.classList.toggle("failed", failed !== null);
    const chosen = words === "" ? -1 : chosenOption(words, this.turn.choices);
    const shown: (Node | string)[] = [];
    if (chosen >= 0) {
      const rest = restAfterOption(words, this.turn.choices[chosen] ?? "");
      shown.push(make("span", "letter", letterOf(chosen)), make("strong", "", this.turn.choices[chosen] ?? ""));
      if (rest !== "") shown.push(make("p", "answer-rest", rest));
    } else if (words !== "") {
      shown.push(words);
    }
    for (const note of notes) shown.push(make("p", "answer-note", note));
    this.answerBox.replaceChildren(...shown);
  }

  private drawOptions(answer: AnswerDto | undefined): void {
    const { choices } = this.turn;
    const measured = answer?.option_probabilities ?? null;
    this.options.hidden = choices.length === 0;
    if (this.options.hidden) return;
    const chosen = answer ? chosenOption(answer.answer, choices) : -1;
    const rows = choices.map((choice, at) => {
      const row = make("li", at === chosen ? "option chosen" : "option");
      row.append(make("span", "option-letter", letterOf(at)), make("span", "option-text", choice));
      const probability = measured?.[at];
      if (probability !== undefined) {
        const bar = make("meter", "option-bar");
        bar.max = 1;
        bar.value = probability;
        bar.title = text("ask.probability");
        bar.setAttribute("aria-label", text("ask.probability"));
        row.append(bar, make("span", "option-share", `${number(probability * 100, probability < 0.0995 ? 1 : 0)} %`));
      }
      return row;
    });
    this.options.replaceChildren(...rows);
    this.options.classList.toggle("measured", measured !== null);
  }

  private drawTools(answer: AnswerDto | undefined, running: boolean): void {
    const { turn, hooks } = this;
    const made: Node[] = [];
    if (turn.versions.length > 1) {
      const at = turn.versions.indexOf(turn.id);
      made.push(stepper(text("ask.question-version"), at, turn.versions.length, (to) => hooks.showVersion(turn, turn.versions[to] ?? turn.id)));
    }
    if (turn.answers.length > 1) {
      made.push(stepper(text("ask.answer-version"), turn.shown, turn.answers.length, (to) => hooks.showAnswer(turn, to)));
    }
    if (!running && answer) {
      made.push(
        tool("again", text("ask.again"), () => hooks.again(turn)),
        tool("edit", text("ask.edit"), () => this.beginEdit()),
        tool("copy", text("ask.copy"), () => void navigator.clipboard.writeText(answer.answer)),
      );
    }
    this.tools.replaceChildren(...made);
  }

  /** Turns the question into a field; what comes out of it is another version, and this one stays. */
  private beginEdit(): void {
    const field = make("textarea", "edit-question");
    field.value = this.turn.question;
    field.rows = 3;
    field.setAttribute("aria-label", text("ask.edit"));
    const end = () => {
      form.replaceWith(this.question);
    };
    const form = make("form", "edit-form");
    const send = make("button", "button primary", text("ask.send-edit"));
    send.type = "submit";
    const row = make("div", "edit-row");
    row.append(make("span", "quiet", text("ask.edit-keeps")), makeButton("button", text("ask.cancel"), end), send);
    form.append(field, row);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const question = field.value.trim();
      if (question === "" || this.hooks.isBusy()) return;
      end();
      this.hooks.edit(this.turn, question);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        end();
      }
    });
    this.question.replaceWith(form);
    field.focus();
  }
}

/** What remains of an answer behind the option that it names. */
function restAfterOption(words: string, choice: string): string {
  const named = words.toLowerCase().startsWith(choice.trim().toLowerCase());
  const rest = named ? words.slice(choice.trim().length) : words.replace(/^[([]?[A-Z][)\].:]?\s*/, "");
  const bare = rest.replace(/^[\s.,:;)\]–-]+/, "");
  return bare.toLowerCase().startsWith(choice.trim().toLowerCase()) ? bare.slice(choice.trim().length).replace(/^[\s.,:;]+/, "") : bare;
}

/** Size, tokens and scale of a picture, in one line. */
export function describe(picture: PictureDto): string {
  const scale = picture.um_per_px === null ? "" : ` · ${number(picture.um_per_px, 2)} µm/px`;
  return `${picture.width_px} × ${picture.height_px} px · ${text("ask.tokens", { n: number(picture.n_token) })}${scale}`;
}

/** How an answer ended and what it took, in one line. */
function costOf(answer: AnswerDto): string {
  const { figures } = answer;
  const why: Record<string, string> = { cancelled: text("ask.stopped"), max_tokens: text("ask.cut"), context_full: text("ask.full") };
  return [why[answer.reason] ?? "", ...figuresOf(figures), answer.model].filter((part) => part !== "").join(" · ");
}

function figuresOf(figures: FiguresDto): string[] {
  const parts: string[] = [];
  if (figures.n_generated !== null) parts.push(text("ask.tokens", { n: number(figures.n_generated) }));
  if (figures.tokens_per_sec !== null) parts.push(text("ask.speed", { n: number(figures.tokens_per_sec, 1) }));
  if (figures.first_token_secs !== null) parts.push(text("ask.first", { secs: number(figures.first_token_secs, 2) }));
  if (figures.n_prompt !== null && figures.n_context !== null) {
    const used = figures.n_prompt + (figures.n_generated ?? 0);
    parts.push(text("ask.context", { n: number(used), all: number(figures.n_context) }));
  }
  return parts;
}

function tool(icon: string, label: string, run: () => void): HTMLButtonElement {
  const button = makeButton("icon-button", "", run);
  button.append(makeIcon(icon));
  button.title = label;
  button.setAttribute("aria-label", label);
  button.dataset.tool = icon;
  return button;
}

function stepper(label: string, at: number, n: number, to: (at: number) => void): HTMLElement {
  const group = make("div", "stepper");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", label);
  const back = makeButton("icon-button", "‹", () => to(at - 1));
  const forth = makeButton("icon-button", "›", () => to(at + 1));
  back.disabled = at <= 0;
  forth.disabled = at >= n - 1;
  back.setAttribute("aria-label", text("ask.version-before"));
  forth.setAttribute("aria-label", text("ask.version-after"));
  group.append(back, make("span", "stepper-place", `${label} ${at + 1}/${n}`), forth);
  return group;
}
