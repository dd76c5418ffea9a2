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
 * µm per base pixel, where known.
 */
mpp: number | null, magnification: number | null, 
/**
 * Sizes that the file holds, largest first.
 */
levels: Array<LevelDto>, };

export type LevelDto = { width_px: number, height_px: number, 
/**
 * Base pixels per pixel.
 */
downsample: number, };

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
recent: Array<FileDto>, suggestions: Array<string>, };

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

export type ModelDto = { name: string, device: string, 
/**
 * What must stand beside its answers.
 */
notice: string, };

export type AskDto = { 
/**
 * Number of the turn, chosen by the page: names it when it is stopped.
 */
turn: number, 
/**
 * Handle of the slide.
 */
slide: string, view: ViewDto, question: string, 
/**
 * Choices of a multiple-choice question; empty for an open one.
 */
options: Array<string>, };

export type AnswerEvent = { "kind": "seen", picture_url: string, width_px: number, height_px: number, n_token: number, um_per_px: number | null, } | { "kind": "prefilled", n_token: number, secs: number, } | { "kind": "reasoning", delta: string, } | { "kind": "answer", delta: string, } | { "kind": "done", reason: string, n_token: number, token_per_sec: number, first_token_secs: number, device: string, } | { "kind": "failed", error: ErrorDto, };
