"""Pages on Vercel."""

from downstream.providers.vercel.hosting import VercelHosting

__all__ = ["VercelHosting"]
