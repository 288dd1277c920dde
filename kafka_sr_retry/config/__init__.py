"""Every configuration key, declared once, for validation, the docs' reference and ``kafka-sr-retry config``."""

from .client import ClientSettings
from .keys import PREFIX, Key, keys
from .reading import SplitConf, check_agreement, is_librdkafkas, parse, split
from .serializer import SerializerSettings
from .tls import Pem, Tls
from .values import CLUSTER_ID, FALLBACK_TYPE, NO_SOCKS, Urls, has_socks, header_mapping, is_header, is_token

__all__ = [
    "CLUSTER_ID",
    "FALLBACK_TYPE",
    "NO_SOCKS",
    "PREFIX",
    "ClientSettings",
    "Key",
    "Pem",
    "SerializerSettings",
    "SplitConf",
    "Tls",
    "Urls",
    "check_agreement",
    "has_socks",
    "header_mapping",
    "is_header",
    "is_librdkafkas",
    "is_token",
    "keys",
    "parse",
    "split",
]
