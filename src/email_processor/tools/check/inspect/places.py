"""Where requests go, and whether that is AWS itself: emulators and other stores bend some of its rules."""

from urllib.parse import urlsplit

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, without the user and password that may stand in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def is_aws(url: str) -> bool:
    """Whether `url` is at AWS itself."""
    return (urlsplit(url).hostname or "").endswith(AWS_DOMAINS)
