from pretrainjax.data.item_features import feature_rows


def test_values_are_numbered_by_name_once_a_row():
  found = feature_rows([{"tags": ["b", "b", "a"], "a": "b"}, {}, {"tags": ["b"]}])
  assert found.names == ("a=b", "tags=a", "tags=b")
  assert found.rows.tolist() == [[1, 2, 3], [0, 0, 0], [3, 0, 0]]


def test_nothing_is_known_of_nobody():
  found = feature_rows([{}, {}])
  assert found.names == () and found.rows.shape == (2, 0)
