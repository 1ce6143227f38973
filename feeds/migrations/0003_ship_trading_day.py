from datetime import time

from django.db import migrations

from feeds.krx.trading_day import TRADING_DAY


def ship(apps, schema_editor):
    """Exchanges in Vietnam's zone that were there before get the trading day of KRX, for an operator to edit."""
    sessions = apps.get_model("feeds", "TradingSession")
    for exchange in apps.get_model("feeds", "Exchange").objects.filter(timezone="Asia/Ho_Chi_Minh"):
        sessions.objects.bulk_create(
            sessions(
                exchange=exchange,
                market=row.market,
                phase=row.phase,
                starts_at=time.fromisoformat(row.starts),
                ends_at=time.fromisoformat(row.ends),
                expects_data=row.expects_data,
            )
            for row in TRADING_DAY
        )


class Migration(migrations.Migration):

    dependencies = [("feeds", "0002_calendar_and_history")]

    operations = [migrations.RunPython(ship, migrations.RunPython.noop)]
