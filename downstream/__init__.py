"""DownStream turns a paid order, a story and a visual brief, into a scroll-driven web page."""

__version__ = "0.1.0"
