//! Training, headless: phantoms, recipes, stages, evaluation, export.
