"""Which connection a run's call goes to, where several fill a port: by legal entity, by contract, by source.

Business units of one legal entity may have PSAs of their own: the financial dimensions of the contract tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isthmus.domain.objects import ContractVersion
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

_ABOUT = "contract:"


def dimensions_about(tx: Tx, correlation_id: str) -> Mapping[str, str] | None:
    """The financial dimensions of the contract that a run is about; None when it is about none that is kept yet."""
    contract_no = correlation_id.removeprefix(_ABOUT)
    if contract_no == correlation_id:
        return None
    found = tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    return found[0].dimensions if found else None


def connection_of(kernel: Kernel, port: str, run: RunRow, source: str = "") -> Any:
    """The connection for a call of this run. NeedsSetup when none is for its contract."""
    about = None
    if port in kernel.systems.told_apart:
        with kernel.store.transaction() as tx:
            about = dimensions_about(tx, run.correlation_id)
    return kernel.systems.filling(port, run.entity, source, about)


def is_offered(books: Books, port: str, entity: str, source: str) -> bool:
    """Whether a connection of the firm fills the port; kept with the run, so that a later change breaks no replay."""
    systems = books.kernel.systems
    about = dimensions_about(books.tx, books.correlation_id) if port in systems.told_apart else None
    return systems.fills(port, entity, source, about)
