"""The downstream rows: products, subscribers with contracts and entitlements, API keys, and the audit trail."""

from subscriptions.models.api_key import ApiKey
from subscriptions.models.audit_entry import AuditEntry
from subscriptions.models.product import Product
from subscriptions.models.rights_change import RightsChange
from subscriptions.models.subscriber import Contract, Entitlement, Subscriber
from subscriptions.models.usage_day import UsageDay

__all__ = ["ApiKey", "AuditEntry", "Contract", "Entitlement", "Product", "RightsChange", "Subscriber", "UsageDay"]
