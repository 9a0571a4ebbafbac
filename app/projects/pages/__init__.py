"""Projects as pages."""

from app.projects.pages import editing, guidelines, members, settings

routers = [settings.router, guidelines.router, editing.router, members.router]
