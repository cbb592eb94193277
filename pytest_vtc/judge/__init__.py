"""Has answers judged by a language model behind an OpenAI-compatible endpoint: what to ask, asking, keeping replies."""
