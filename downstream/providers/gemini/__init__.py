"""Gemini (google-genai 3.4): plans, reads and rewords, judges, and makes keyframes."""
