"""Clips by MiniMax's Hailuo models on Replicate."""

from downstream.providers.minimax.clips import MinimaxClips

__all__ = ["MinimaxClips"]
