"""Projects as pages."""

from app.projects.pages import guidelines, members, settings

routers = [settings.router, guidelines.router, members.router]
