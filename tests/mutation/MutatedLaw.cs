using System.Reflection;
using System.Runtime.Loader;

namespace Fleet.Mutation;

/// <summary>The mutated law in this process, and the tests beside it.</summary>
internal sealed class MutatedLaw : AssemblyLoadContext
{
    private readonly string _image;
    private readonly PropertyInfo _active;
    private readonly PropertyInfo _reached;
    private readonly PropertyInfo _ticks;
    private readonly PropertyInfo _ticksMax;

    /// <param name="image">The assembly of the mutated law.</param>
    /// <param name="tests">The assembly of the tests, compiled against the law itself.</param>
    public MutatedLaw(string image, string tests)
        : base("mutated law")
    {
        _image = image;
        Tests = LoadFromAssemblyPath(tests);
        var flip = LoadFromAssemblyName(new("Fleet.Kernel")).GetType("Fleet.Mutation.MutantSwitch")!;
        _active = flip.GetProperty(nameof(MutantSwitch.Active))!;
        _reached = flip.GetProperty(nameof(MutantSwitch.Reached))!;
        _ticks = flip.GetProperty(nameof(MutantSwitch.Ticks))!;
        _ticksMax = flip.GetProperty(nameof(MutantSwitch.TicksMax))!;
    }

    public Assembly Tests { get; }

    /// <summary>Lets one mutant take effect.</summary>
    /// <param name="mutant">Its id; -1 for none.</param>
    /// <param name="ticksMax">Rounds of loops until it counts as endless.</param>
    public void Activate(int mutant, long ticksMax)
    {
        _active.SetValue(null, mutant);
        _ticks.SetValue(null, 0L);
        _ticksMax.SetValue(null, ticksMax);
    }

    /// <summary>Runs something without a mutant.</summary>
    /// <returns>The mutants whose sites it reached, and how often its loops went round.</returns>
    public (List<int> Reached, long Ticks) Trace(int idMax, Action run)
    {
        var reached = new bool[idMax + 1];
        Activate(-1, long.MaxValue);
        _reached.SetValue(null, reached);
        run();
        _reached.SetValue(null, null);
        return ([.. Enumerable.Range(0, idMax + 1).Where(id => reached[id])], (long)_ticks.GetValue(null)!);
    }

    /// <remarks>What this program has as well is shared with the tests, above all xunit.</remarks>
    protected override Assembly? Load(AssemblyName assemblyName) =>
        assemblyName.Name == "Fleet.Kernel" ? LoadFromAssemblyPath(_image) : null;
}
