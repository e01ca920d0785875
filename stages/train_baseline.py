"""Stage train_baseline: train the student's network on the labels alone, as the control -> models/baseline.npz"""

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import Dataset
from kdlib.models import save_model
from kdlib.objectives import CrossEntropy
from stages import BASELINE, DATASET, parser, run
from stages.fit import fit, with_as_many_steps


def main(params):
    dataset = Dataset.load(DATASET)
    labeled = dataset.labeled()
    x, one_hot = dataset.inputs("train")[labeled], dataset.one_hot("train")[labeled]
    objective = CrossEntropy(one_hot, ARITHMETICS[params.arithmetic])
    recipe = with_as_many_steps(params.student, len(dataset.y["train"]), len(labeled))
    network, curve = fit("train_baseline", params, dataset, x, objective, recipe, "student", params.replicas)
    save_model(BASELINE, network, curve, dataset)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
