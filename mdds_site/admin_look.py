"""How the admin looks: its title and the groups of its sidebar."""

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, model: str) -> dict[str, object]:
    app_label, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app_label}.view_{name}"),
    }


UNFOLD: dict[str, object] = {
    "SITE_TITLE": "MDDS",
    "SITE_HEADER": "MDDS",
    "SITE_SUBHEADER": "Market data distribution",
    "SITE_SYMBOL": "stacked_line_chart",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("portal/icon.svg")}],
    "LOGIN": {"form": "portal.login_forms.AdminLoginForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Upstream",
                "items": [
                    _item("Exchanges", "account_balance", "feeds.exchange"),
                    _item("Feeds", "cell_tower", "feeds.feed"),
                    _item("Instruments", "candlestick_chart", "feeds.instrument"),
                    _item("Workers", "monitor_heart", "feeds.workerheartbeat"),
                ],
            },
            {
                "title": "Downstream",
                "items": [
                    _item("Subscribers", "domain", "subscriptions.subscriber"),
                    _item("Contracts", "contract", "subscriptions.contract"),
                    _item("API keys", "key", "subscriptions.apikey"),
                    _item("Entitlements", "verified_user", "subscriptions.entitlement"),
                    _item("Products", "inventory_2", "subscriptions.product"),
                ],
            },
            {
                "title": "Operation",
                "items": [
                    _item("Replays", "replay", "replay.replayjob"),
                    _item("Audit", "history", "subscriptions.auditentry"),
                    _item("Users", "person", "auth.user"),
                    _item("Roles", "group", "auth.group"),
                ],
            },
        ],
    },
}
