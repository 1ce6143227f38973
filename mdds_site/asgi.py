"""The ASGI applications: the whole site, and the stream alone for a gateway process."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdds_site.settings")
_django = get_asgi_application()  # loads the apps; what follows imports models

from mdds_site.checks import refuse_to_start  # noqa: E402
from mdds_site.gateway_http import gateway_http  # noqa: E402
from mdds_site.proxies import behind  # noqa: E402
from mdds_site.websocket_paths import WebSocketPaths  # noqa: E402
from portal import routing as portal_routing  # noqa: E402
from replay.session_port import DatabaseReplays  # noqa: E402
from subscriptions.gateway import replays  # noqa: E402
from subscriptions.gateway import routing as gateway_routing  # noqa: E402

refuse_to_start()
replays.install(DatabaseReplays(data_dir=settings.MDDS.data_dir, partitions=settings.MDDS.partitions))

# The stream takes keys and never cookies; the portal's live pages take the session cookie and check the Origin.
_stream = URLRouter(gateway_routing.websocket_urlpatterns)
_live = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(portal_routing.websocket_urlpatterns)))

application = behind(
    settings.MDDS.proxies,
    ProtocolTypeRouter({"http": _django, "websocket": WebSocketPaths({"/stream/": _stream, "/portal/": _live})}),
)
gateway_application = ProtocolTypeRouter({"http": gateway_http, "websocket": WebSocketPaths({"/stream/": _stream})})
