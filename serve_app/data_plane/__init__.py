"""The one place that knows how to infer, under all protocols."""
