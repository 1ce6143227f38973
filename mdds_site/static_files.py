"""Serves static files with WhiteNoise, each as one whole response: an ASGI server cannot stream a blocking file."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFiles(WhiteNoiseMiddleware):
    """Our largest file is some hundred KiB; Django would read a streamed one whole too, on the event loop's time."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        content = b""
        if found.file is not None:
            with found.file as file:
                content = file.read()
        response = HttpResponse(content, status=int(found.status))
        del response["content-type"]  # WhiteNoise has its own
        for name, value in found.headers:
            response[name] = value
        return response
