"""The vendor's error body (ErrorResult) and the error codes this sandbox answers.

Numbers and names are those of the vendor's published ErrorCodeId list; wording is this sandbox's own except where
clients are known to match it (the document-status refusal).
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

# code: (number, HTTP status, severity, target)
CODES: dict[str, tuple[int, int, str, str]] = {
    "EntityNotFoundError": (4, 404, "Error", "HttpRequest"),
    "ValueRequiredError": (5, 400, "Error", "IncorrectData"),
    "RangeError": (6, 400, "Error", "IncorrectData"),
    "StringLengthError": (13, 400, "Error", "IncorrectData"),
    "InvalidQueryField": (17, 400, "Error", "HttpRequest"),
    "InvalidQueryValue": (18, 400, "Error", "HttpRequest"),
    "SyntaxError": (19, 400, "Error", "HttpRequest"),
    "UnterminatedValueError": (21, 400, "Error", "HttpRequest"),
    "AuthenticationException": (30, 401, "Exception", "HttpRequestHeaders"),
    "AuthorizationException": (31, 403, "Exception", "HttpRequestHeaders"),
    "ValidationException": (32, 400, "Exception", "IncorrectData"),
    "AuthenticationIncomplete": (34, 401, "Exception", "HttpRequestHeaders"),
    "BasicAuthIncorrect": (35, 401, "Exception", "HttpRequestHeaders"),
    "BearerTokenInvalid": (37, 401, "Exception", "HttpRequestHeaders"),
    "InvalidDecimalValue": (48, 400, "Error", "IncorrectData"),
    "UnknownConjunctionError": (189, 400, "Error", "HttpRequest"),
    "NoLinesDiscounted": (190, 400, "Error", "IncorrectData"),
    "TransactionAlreadyCancelled": (198, 400, "Error", "IncorrectData"),
    "InternalServerError": (209, 500, "Error", "AvaTaxApiServer"),
    "GetTaxError": (300, 400, "Error", "HttpRequest"),
    "DocumentCodeConflict": (303, 400, "Error", "IncorrectData"),
    "MissingLine": (311, 400, "Error", "IncorrectData"),
    "DocumentNotCommitted": (313, 400, "Error", "IncorrectData"),
    "InvalidDocumentStatusForRefund": (700, 400, "Error", "IncorrectData"),
    "InvalidDocumentTypeForRefund": (702, 400, "Error", "IncorrectData"),
    "RefundLinesRequired": (704, 400, "Error", "IncorrectData"),
    "InvalidRefundType": (705, 400, "Error", "IncorrectData"),
    "LineNoOutOfRange": (707, 400, "Error", "IncorrectData"),
    "RefundPercentageOutOfRange": (708, 400, "Error", "IncorrectData"),
    "RefundPercentageMissing": (709, 400, "Error", "IncorrectData"),
    "CannotModifyLockedTransaction": (1100, 400, "Error", "IncorrectData"),
    "TransactionNotCancelled": (1300, 400, "Error", "IncorrectData"),
    "TransactionAlreadyExists": (1303, 400, "Error", "IncorrectData"),
    "DateMismatch": (1305, 400, "Error", "IncorrectData"),
    "InvalidDocumentStatusForVerify": (1306, 400, "Error", "IncorrectData"),
    "TotalAmountMismatch": (1307, 400, "Error", "IncorrectData"),
    "TotalTaxMismatch": (1308, 400, "Error", "IncorrectData"),
    "TransactionIsCommitted": (1313, 400, "Error", "IncorrectData"),
    "FieldNotQueryableError": (1408, 400, "Error", "HttpRequest"),
    "RequestLimitExceeded": (1715, 429, "Error", "HttpRequest"),
    "ServiceNotReady": (1718, 503, "Error", "AvaTaxApiServer"),
    "ServiceTimeout": (4015, 504, "Error", "AvaTaxApiServer"),
}

_BY_STATUS = {
    401: "AuthenticationException",
    403: "AuthorizationException",
    404: "EntityNotFoundError",
    429: "RequestLimitExceeded",
    500: "InternalServerError",
    503: "ServiceNotReady",
    504: "ServiceTimeout",
}


class Refusal(Exception):
    """A request the vendor would refuse; carries what the ErrorResult body says."""

    def __init__(self, code: str, message: str, description: str = "", refers_to: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.description = description
        self.refers_to = refers_to

    def response(self, status: int | None = None) -> Response:
        """The refusal as the vendor's ErrorResult; status replaces the code's own HTTP status."""
        number, default_status, severity, target = CODES[self.code]
        detail = {
            "code": self.code,
            "number": number,
            "message": self.message,
            "description": self.description,
            "faultCode": "Server" if default_status >= 500 else "Client",
            "helpLink": f"/avatax/errors/{self.code}",
            "severity": severity,
        }
        if self.refers_to:
            detail["refersTo"] = self.refers_to
        error = {"code": self.code, "message": self.message, "target": target, "details": [detail]}
        return JSONResponse({"error": error}, status_code=status or default_status)


def unplanned(status: int) -> Response:
    """The body for a fault or outage of this HTTP status."""
    code = _BY_STATUS.get(status, "InternalServerError" if status >= 500 else "ValidationException")
    return Refusal(code, f"The service answered HTTP {status}.").response(status)


def doc_status(expected: str) -> Refusal:
    """The document-status refusal (known to integrators as DocStatusError); wording as clients see it."""
    return Refusal(
        "GetTaxError", "DocStatus is invalid for this operation.", f"Expected {expected}", refers_to="DocStatus"
    )


def not_found(entity: str, what: str) -> Refusal:
    """404 for an object that does not exist."""
    return Refusal("EntityNotFoundError", f"{entity} not found.", f"No {entity} with code or id '{what}'.")


def invalid(field: str, why: str) -> Refusal:
    """400 for a value the request model cannot hold."""
    return Refusal("ValidationException", "Validation Error.", f"{field}: {why}", refers_to=field)


def required(field: str) -> Refusal:
    """400 for a required field that is missing."""
    return Refusal("ValueRequiredError", f"Field {field} is required.", refers_to=field)
