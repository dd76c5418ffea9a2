//! Weight containers, untrusted input: GGUF, safetensors, torch pickles; block quantisation.
