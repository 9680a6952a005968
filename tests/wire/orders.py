"""The types that the golden vectors call `shop.orders`; the README beside the vectors describes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag

from casty.wire.types import TypeRegistry


@dataclass(frozen=True)
class Add:
    amount: int = 1

    def __post_init__(self) -> None:
        if self.amount == 1000:
            raise ValueError("1000 is too much")


@dataclass(frozen=True)
class Get:
    pass


@dataclass(frozen=True)
class Item:
    name: str
    price: float


@dataclass(frozen=True)
class Order:
    id: int
    items: list[Item]
    note: str = ""


class Color(Enum):
    RED = 1
    BLUE = "blue"
    PAIR = (1, 2)


class Access(Flag):
    READ = 1
    WRITE = 2


def orders_registry() -> TypeRegistry:
    """Admits these types by the names of the vectors, and nothing else."""
    registry = TypeRegistry(trusted_modules=())
    for cls in (Add, Get, Item, Order, Color, Access):
        registry.register(cls, f"shop.orders:{cls.__name__}")
    return registry
