"""The recipe: its model and its loader. `load` is the only reader of YAML in factory."""

from factory.recipe.load import RecipeFile as RecipeFile
from factory.recipe.load import load as load
from factory.recipe.load import loads as loads
from factory.recipe.model import Gpu as Gpu
from factory.recipe.model import Handler as Handler
from factory.recipe.model import Image as Image
from factory.recipe.model import Model as Model
from factory.recipe.model import Recipe as Recipe
from factory.recipe.model import Test as Test
