"""The corpus as pages."""

from app.corpus.pages import data, imports

routers = [data.router, imports.router]
