"""Features of a frozen encoder in scikit-learn: classifiers, cross-validation, a map of the data.

Run it beside a run, `pretrainjax pretrain --config=mae_vit_fashion_mnist --workdir=runs/mae`.
"""

# %% What is in the run? Its metadata says so, without loading anything
import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pretrainjax as pj

print(pj.describe("runs/mae"))

# %% Features by batches, so that memory does not grow with the data
digits = load_digits()
enlarged = np.kron(digits.images, np.ones((1, 3, 3)))
images = np.pad(enlarged * 255 / 16, ((0, 0), (2, 2), (2, 2)))[..., None].astype(np.uint8)

encoder = pj.load_encoder("runs/mae")
encode = jax.jit(lambda images: encoder(images).pooled)
batches = np.array_split(images[:1792], 7)  # of one shape, which is compiled once
features = np.concatenate([np.asarray(encode(batch)) for batch in batches])
labels = digits.target[:1792]

# %% Any estimator takes them
probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
neighbours = KNeighborsClassifier(n_neighbors=20, metric="cosine")
scores = {
  name: cross_val_score(one, features, labels, cv=3).mean()
  for name, one in {"logistic regression": probe, "20 neighbours": neighbours}.items()
}
for name, score in scores.items():
  print(f"{name}: {score:.1%}")

# %% Two axes to look at
map_of_digits = PCA(n_components=2).fit_transform(features)
