// Written from app/desktop/src/dto.rs by its test; do not edit.

export type ErrorDto = { 
/**
 * For tests and logs.
 */
code: string, 
/**
 * What happened, and where.
 */
message: string, 
/**
 * What to do about it.
 */
hint: string | null, };

export type SlideDto = { 
/**
 * Opaque name of the opened slide within this run.
 */
handle: string, 
/**
 * Name of its content, the same in every run.
 */
id: string, path: string, 
/**
 * File name, shown to the person who opened it and nowhere else.
 */
title: string, 
/**
 * Reader that opened it.
 */
format: string, width_px: number, height_px: number, 
/**
 * Side of the tiles that the protocol serves.
 */
tile_px: number, 
/**
 * µm per base pixel, where known: typed by a person, else as the file states it.
 */
mpp: number | null, 
/**
 * As the file states it.
 */
file_mpp: number | null, 
/**
 * Magnification of base pixels, where known.
 */
magnification: number | null, 
/**
 * Magnifications to choose from; none where no magnification is known.
 */
presets: Array<PresetDto>, 
/**
 * How it was shown last: the look's code in tile addresses.
 */
look: string, 
/**
 * Sizes that the file holds, largest first.
 */
levels: Array<LevelDto>, };

export type LevelDto = { width_px: number, height_px: number, 
/**
 * Base pixels per pixel.
 */
downsample: number, };

export type PresetDto = { magnification: number, 
/**
 * Base pixels per pixel of the screen.
 */
downsample: number, 
/**
 * Size of the whole slide at this magnification.
 */
width_px: number, height_px: number, };

export type InformationDto = { associated: Array<AssociatedDto>, 
/**
 * How many more facts the file states; they may hold patient data and are shown when asked for.
 */
n_property: number, };

export type AssociatedDto = { name: string, width_px: number, height_px: number, 
/**
 * Whether it may show patient data: a label, a photograph of the glass.
 */
sensitive: boolean, };

export type PropertyDto = { name: string, value: string, };

export type ListingDto = { files: Array<FileDto>, 
/**
 * Whether there are more than are listed.
 */
truncated: boolean, 
/**
 * Folders that could not be read.
 */
n_unread: number, };

export type FileDto = { path: string, 
/**
 * Its own name.
 */
title: string, 
/**
 * The folder that it is in.
 */
folder: string, };

export type ViewDto = { x_base_px: number, y_base_px: number, width_base_px: number, height_base_px: number, };

export type ShapeDto = { "kind": "point", at: [number, number], } | { "kind": "line", points: Array<[number, number]>, } | { "kind": "rectangle", origin: [number, number], size: [number, number], } | { "kind": "polygon", points: Array<[number, number]>, } | { "kind": "freehand", points: Array<[number, number]>, };

export type ClassDto = { name: string, color: [number, number, number], };

export type AnnotationDto = { id: string, shape: ShapeDto, 
/**
 * Outlines cut out of it.
 */
holes: Array<Array<[number, number]>>, class: ClassDto | null, title: string, note: string, 
/**
 * Its own colour; the class's without one.
 */
color: [number, number, number] | null, 
/**
 * Whether its author asked that it not be changed.
 */
locked: boolean, 
/**
 * Its length or area in words.
 */
measured: string, };

export type DraftDto = { 
/**
 * None for a new one.
 */
id: string | null, shape: ShapeDto, class: ClassDto | null, title: string, note: string, color: [number, number, number] | null, };

export type EditDto = { "kind": "add", annotation: DraftDto, } | { "kind": "change", annotations: Array<DraftDto>, } | { "kind": "remove", ids: Array<string>, };

export type AnnotationsDto = { 
/**
 * New ones and changed ones.
 */
changed: Array<AnnotationDto>, removed: Array<string>, 
/**
 * Steps that can be taken back, and done again.
 */
n_undo: number, n_redo: number, 
/**
 * Why they are not on the disk, where they are not.
 */
unsaved: ErrorDto | null, 
/**
 * What a person should know of how they were found: a damaged file was repaired.
 */
mended: ErrorDto | null, 
/**
 * What an import did.
 */
imported: ImportedDto | null, };

export type ImportedDto = { n_added: number, n_replaced: number, n_unchanged: number, n_refused: number, 
/**
 * Why the first of these makes no sense.
 */
refused: string | null, };

export type FigureDto = { center_base_px: [number, number], 
/**
 * Base pixels per pixel of the figure.
 */
downsample: number, width_px: number, height_px: number, rotation_degrees: number, 
/**
 * The look's code in tile addresses.
 */
look: string, 
/**
 * Whether annotations are drawn in.
 */
annotations: boolean, scale_bar: CornerDto | null, 
/**
 * Ending of the name that is proposed: `png`, `jpg`, `tif`.
 */
ending: string, };

export type CornerDto = "top_left" | "top_right" | "bottom_left" | "bottom_right";

export type StartupDto = { texts: TextsDto, languages: Array<LanguageDto>, 
/**
 * `light`, `dark` or `system`.
 */
theme: string, 
/**
 * The table behind menus, palette, keys and the list of shortcuts.
 */
commands: Array<CommandDto>, 
/**
 * Files that the window was started with.
 */
files: Array<FileDto>, 
/**
 * Files opened before, the last first.
 */
recent: Array<FileDto>, suggestions: Array<string>, 
/**
 * Slides that were open when the window was closed, and which was in front.
 */
tabs: Array<TabDto>, active_tab: number | null, sidebar_px: number | null, 
/**
 * What a person should know of the start.
 */
news: Array<ErrorDto>, };

export type TextsDto = { 
/**
 * Its code, as in `lang` of a page.
 */
language: string, 
/**
 * Text by key.
 */
words: { [key in string]: string }, };

export type LanguageDto = { code: string, 
/**
 * Its own name for itself.
 */
name: string, };

export type CommandDto = { id: string, group: string, 
/**
 * Keys that choose it; the first is shown.
 */
keys: Array<string>, 
/**
 * What must be there: `nothing`, `slide`, `selection`, `answering`, `answer`.
 */
needs: string, };

export type TabDto = { path: string, placement: PlacementDto | null, };

export type PlacementDto = { center_base_px: [number, number], 
/**
 * Base pixels per pixel of the screen.
 */
downsample: number, rotation_degrees: number, };

export type PictureSourceDto = { "kind": "view", slide: string, view: ViewDto, } | { "kind": "whole", slide: string, } | { "kind": "tile", slide: string, view: ViewDto, } | { "kind": "file", path: string, } | { "kind": "kept", chat: number, turn: number, index: number, };

export type SettingsDto = { greedy: boolean, temperature: number | null, top_k: number | null, top_p: number | null, repetition_penalty: number | null, seed: number | null, max_tokens: number | null, };

export type AskDto = { 
/**
 * The chat; a new one without.
 */
chat: number | null, 
/**
 * The answer that it follows.
 */
parent: number | null, question: string, 
/**
 * Choices of a multiple-choice question; empty for an open one.
 */
choices: Array<string>, 
/**
 * `plain`, `cot` or `cod`; as the model wants to be asked without.
 */
style: string | null, 
/**
 * Instructions in place of the style's own.
 */
system: string | null, pictures: Array<PictureSourceDto>, settings: SettingsDto, };

export type PictureDto = { 
/**
 * Address of the picture: exactly the pixels in a preview, a small copy in a chat.
 */
url: string, 
/**
 * Width and height that the model takes.
 */
width_px: number, height_px: number, n_token: number, 
/**
 * Scale of the pixels that the model takes.
 */
um_per_px: number | null, 
/**
 * Name of the slide or file.
 */
title: string | null, 
/**
 * Content hash of the slide, where the picture is from one.
 */
slide_id: string | null, 
/**
 * The part of the slide.
 */
view: ViewDto | null, };

export type PreviewDto = { pictures: Array<PictureDto>, 
/**
 * Tokens that the context holds.
 */
n_context: number, };

export type AnswerEvent = { "kind": "began", chat: number | null, turn: number | null, answer: number | null, 
/**
 * Names the answer when it is stopped.
 */
run: number, pictures: Array<PictureDto>, } | { "kind": "unkept", error: ErrorDto, } | { "kind": "planned", n_prompt: number, n_context: number, max_tokens: number, } | { "kind": "prefilled", n_token: number, secs: number, } | { "kind": "reasoning", delta: string, } | { "kind": "answer", delta: string, } | { "kind": "done", reason: string, figures: FiguresDto, option_probabilities: Array<number> | null, } | { "kind": "failed", error: ErrorDto, };

export type FiguresDto = { n_prompt: number | null, n_generated: number | null, n_context: number | null, first_token_secs: number | null, reasoning_secs: number | null, tokens_per_sec: number | null, total_secs: number | null, };

export type AnswerDto = { id: number, 
/**
 * `running`, `finished` or `interrupted`.
 */
state: string, 
/**
 * `end_of_turn`, `stop_string`, `max_tokens`, `context_full`, `cancelled`, `failed`.
 */
reason: string, reasoning: string, answer: string, option_probabilities: Array<number> | null, error: string | null, model: string, device: string, settings: SettingsDto, figures: FiguresDto, };

export type TurnDto = { id: number, parent: number | null, question: string, choices: Array<string>, style: string, system: string | null, pictures: Array<PictureDto>, 
/**
 * Ids of this question's versions, this one among them, oldest first.
 */
versions: Array<number>, answers: Array<AnswerDto>, 
/**
 * Which of the answers is shown.
 */
shown: number, };

export type ChatDto = { id: number, title: string, turns: Array<TurnDto>, };

export type ChatSummaryDto = { id: number, title: string, 
/**
 * When something was last said in it, UTC, RFC 3339.
 */
last_at: string, n_turn: number, n_image: number, 
/**
 * The words that were searched for, with those around them.
 */
snippet: string | null, };

export type ExportDto = { chat: number, 
/**
 * `markdown`, `pdf` or `json`.
 */
format: string, 
/**
 * Whether names of slides may leave the record.
 */
names: boolean, };

export type AuditDto = { whole: boolean, message: string, };

export type ModelSourceDto = { "kind": "demo" } | { "kind": "files", model: string, mmproj: string | null, };

export type ModelEntryDto = { source: ModelSourceDto, 
/**
 * The model's own name; the file's where it cannot be opened.
 */
name: string, 
/**
 * Where it lies; nothing for what is built in.
 */
place: string | null, licence: string | null, notice: string | null, weight_bytes: number | null, needed_bytes: number | null, 
/**
 * Whether that much is free now.
 */
fits: boolean | null, n_context: number | null, sees: boolean | null, 
/**
 * Why it cannot be chosen.
 */
error: ErrorDto | null, };

export type DeviceDto = { 
/**
 * `cpu`, `wgpu:0`, `cuda:0`; `auto` for the best.
 */
choice: string, name: string, };

export type ModelStateDto = { "kind": "loading" } | { "kind": "ready", name: string, device: string, 
/**
 * What must stand beside its answers.
 */
notice: string | null, sees: boolean, n_context: number, 
/**
 * `plain`, `cot` or `cod`: how it wants to be asked.
 */
style: string, 
/**
 * How tokens are chosen unless the person says otherwise; 0 is greedy.
 */
temperature: number, max_tokens: number, load_secs: number, } | { "kind": "failed", error: ErrorDto, } | { "kind": "unloaded" };

export type SourceDto = { id: number, title: string, path: string, n_item: number, };

export type LibraryDto = { model: string, 
/**
 * What happened when it was opened, where that is news.
 */
notice: string | null, n_item: number, n_done: number, tags: Array<string>, 
/**
 * Names of stains, as in `choice.stain.NAME`.
 */
stains: Array<string>, sources: Array<SourceDto>, };

export type FaultDto = { title: string, reason: string, };

export type IndexProgressDto = { 
/**
 * `running`, `paused`, `done`, `stopped` or `failed`.
 */
state: string, n_done: number, n_total: number, 
/**
 * Files that were there already, unchanged.
 */
n_skipped: number, n_fault: number, faults: Array<FaultDto>, tiles_per_sec: number | null, secs_left: number | null, 
/**
 * Why it failed.
 */
error: string | null, };

export type QueryDto = { "kind": "view", slide: string, view: ViewDto, } | { "kind": "words", words: string, } | { "kind": "file", path: string, } | { "kind": "item", item: number, };

export type SearchDto = { query: QueryDto, tags: Array<string>, stain: string | null, only_slide: string | null, except_slide: string | null, n: number, };

export type HitDto = { item: number, 
/**
 * Cosine, −1…1.
 */
score: number, title: string, path: string, slide_id: string | null, 
/**
 * Where on the slide; none for a whole picture.
 */
view: ViewDto | null, um_per_px: number | null, tags: Array<string>, stain: string, 
/**
 * Whether somebody said so; else it is a guess.
 */
stain_stated: boolean, 
/**
 * Address of a small copy.
 */
url: string, };

export type SearchResultDto = { hits: Array<HitDto>, model: string, secs: number, };

export type LabelEvent = { n_done: number, n_total: number, };

export type LabelDto = { name: string, 
/**
 * As in CSS.
 */
color: string, 
/**
 * Of the tissue, 0…1.
 */
share: number, };

export type LabelsDto = { 
/**
 * Handle of the slide.
 */
slide: string, model: string, n_tile: number, classes: Array<LabelDto>, 
/**
 * Address of the picture that lies over the slide.
 */
url: string, };
