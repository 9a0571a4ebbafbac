"""What every page and endpoint shares: rendering, safe text, write protection, error replies."""

from app.web.pages import fragment, redirect, render, safe_next
from app.web.text import markdown

__all__ = ["fragment", "markdown", "redirect", "render", "safe_next"]
