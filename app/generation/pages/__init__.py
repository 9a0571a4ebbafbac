"""New responses and the endpoints that may write some, as pages."""

from app.generation.pages import endpoints, generations

routers = [generations.router, endpoints.router]
