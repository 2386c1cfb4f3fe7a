"""Django with pgvector.django: the extension in a migration, fields, indexes, distances."""

import django
import numpy as np
import pytest
from django.conf import settings

# Django is configured once a process; the fixture names the database.
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres"}},
    INSTALLED_APPS=["django.contrib.postgres"],
    USE_TZ=True,
)
django.setup()

from django.db import connection, connections, migrations, models  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from django.db.models import Avg, Sum  # noqa: E402
from pgvector.django import (  # noqa: E402
    BitField,
    CosineDistance,
    HalfVectorField,
    HammingDistance,
    HnswIndex,
    IvfflatIndex,
    L1Distance,
    L2Distance,
    MaxInnerProduct,
    SparseVectorField,
    VectorExtension,
    VectorField,
)


class Item(models.Model):
    embedding = VectorField(dimensions=3, null=True)
    half = HalfVectorField(dimensions=3, null=True)
    sparse = SparseVectorField(dimensions=3, null=True)
    bits = BitField(length=3, null=True)

    class Meta:
        app_label = "items"
        indexes = [
            IvfflatIndex(name="item_l2", fields=["embedding"], lists=100, opclasses=["vector_l2_ops"]),
            IvfflatIndex(name="item_half_ip", fields=["half"], lists=100, opclasses=["halfvec_ip_ops"]),
            IvfflatIndex(name="item_bits", fields=["bits"], lists=100, opclasses=["bit_hamming_ops"]),
            HnswIndex(name="graph_cosine", fields=["embedding"], m=16, ef_construction=64, opclasses=["vector_cosine_ops"]),
            HnswIndex(name="graph_half_l1", fields=["half"], m=16, ef_construction=64, opclasses=["halfvec_l1_ops"]),
            HnswIndex(name="graph_sparse_ip", fields=["sparse"], m=16, ef_construction=64, opclasses=["sparsevec_ip_ops"]),
            HnswIndex(name="graph_jaccard", fields=["bits"], m=16, ef_construction=64, opclasses=["bit_jaccard_ops"]),
        ]


def migration(extension):
    # VectorExtension is pgvector's name; under our own there is Django's general operation.
    from django.contrib.postgres.operations import CreateExtension

    first = VectorExtension() if extension == "vector" else CreateExtension(extension)
    fields = [(field.name, field) for field in Item._meta.local_fields]
    made = migrations.Migration("0001_initial", "items")
    made.operations = [first, migrations.CreateModel("Item", fields=[(n, f.clone()) for n, f in fields])]
    made.operations += [migrations.AddIndex("Item", index.clone()) for index in Item._meta.indexes]
    return made


@pytest.fixture(scope="module", autouse=True)
def items(server, extension, empty_database):
    connections["default"].close()
    connections["default"].settings_dict.update(
        NAME=empty_database, HOST=server.host, PORT=server.port, USER=server.user
    )
    with connection.schema_editor() as editor:
        migration(extension).apply(MigrationLoader(None).project_state(), editor)
    for id, row in {1: [1, 1, 1], 2: [2, 2, 2], 3: [1, 1, 2]}.items():
        bits = "".join(str(x % 2) for x in row)
        Item(id=id, embedding=row, half=row, sparse=row, bits=bits).save()
    yield
    connections["default"].close()


DISTANCES = [
    (L2Distance, [1, 3, 2], [0, 1, 3**0.5]),
    (MaxInnerProduct, [2, 3, 1], [-6, -4, -3]),
    (CosineDistance, [1, 2, 3], [0, 0, 1 - 4 / 18**0.5]),
    (L1Distance, [1, 3, 2], [0, 1, 3]),
]


@pytest.mark.parametrize("field", ["embedding", "half", "sparse"])
@pytest.mark.parametrize(("distance", "ids", "values"), DISTANCES)
def test_distance(field, distance, ids, values):
    near = np.array([1, 1, 1])
    if field == "sparse":
        from pgvector import SparseVector

        near = SparseVector([1, 1, 1])
    items = Item.objects.annotate(distance=distance(field, near)).order_by("distance", "id")
    assert [item.id for item in items] == ids
    assert [item.distance for item in items] == pytest.approx(values, abs=1e-6)


def test_bits():
    items = Item.objects.order_by(HammingDistance("bits", "111"))
    assert [item.id for item in items] == [1, 3, 2]


def test_condition():
    near = Item.objects.alias(d=L2Distance("embedding", [1, 1, 1])).filter(d__lt=1.5, id__gt=1)
    assert [item.id for item in near] == [3]


def test_values_come_back():
    item = Item.objects.get(id=3)
    assert list(item.embedding) == [1, 1, 2]
    assert list(item.half) == [1, 1, 2]
    assert item.sparse.to_list() == [1, 1, 2]
    assert item.bits == "110"


def test_aggregates():
    answers = Item.objects.aggregate(Avg("embedding"), Sum("half"))
    assert answers["embedding__avg"] == pytest.approx([4 / 3, 4 / 3, 5 / 3])
    assert list(answers["half__sum"]) == [4, 4, 5]


def test_indexes_are_there():
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%ivfflat%' ORDER BY 1")
        indexes = dict(cursor.fetchall())
    assert list(indexes) == ["item_bits", "item_half_ip", "item_l2"]
    assert all("lists='100'" in definition for definition in indexes.values())
    assert "halfvec_ip_ops" in indexes["item_half_ip"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%' ORDER BY 1")
        indexes = dict(cursor.fetchall())
    assert list(indexes) == ["graph_cosine", "graph_half_l1", "graph_jaccard", "graph_sparse_ip"]
    assert all("m='16', ef_construction='64'" in definition for definition in indexes.values())


def test_hnsw_answers():
    near = Item.objects.order_by(CosineDistance("embedding", [1, 1, 2]))[:1]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            assert "Index Scan using graph_cosine" in near.explain()
            assert [item.id for item in near] == [3]
        finally:
            cursor.execute("RESET enable_seqscan")
