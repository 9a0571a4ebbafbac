from tests.artifacts.s3 import guarded, s3, s3_server

__all__ = ["guarded", "s3", "s3_server"]  # fixtures
