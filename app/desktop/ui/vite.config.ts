import { defineConfig } from "vite";

// The web view is the only browser: no legacy output, no inlined scripts, which the content policy refuses.
export default defineConfig({
  clearScreen: false,
  build: { target: "es2022", cssTarget: ["safari18"], modulePreload: { polyfill: false }, assetsInlineLimit: 0, chunkSizeWarningLimit: 1024 },
});
