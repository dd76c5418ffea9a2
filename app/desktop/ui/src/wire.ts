// Written from app/desktop/src/dto.rs by its test; do not edit.

export type SlideDto = { 
/**
 * Opaque name of the opened slide within this run.
 */
handle: string, 
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
mpp: number | null, magnification: number | null, };

export type ViewDto = { x_base_px: number, y_base_px: number, width_base_px: number, height_base_px: number, };

export type StartupDto = { notice: string, slide: SlideDto | null, error: ErrorDto | null, suggestions: Array<string>, };

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

export type AnswerEvent = { "kind": "seen", picture_url: string, width_px: number, height_px: number, n_token: number, um_per_px: number | null, } | { "kind": "prefilled", n_token: number, secs: number, } | { "kind": "reasoning", delta: string, } | { "kind": "answer", delta: string, } | { "kind": "done", reason: string, n_token: number, token_per_sec: number, first_token_secs: number, device: string, } | { "kind": "failed", error: ErrorDto, };
