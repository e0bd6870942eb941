using System.Runtime.CompilerServices;
using Fleet.Kernel;
using Fleet.Kernel.Host;

namespace Fleet.Simulation.Exploration;

/// <summary>
/// Lets one actor go on only after another has come to a place: the <c>order</c> lines of a scenario.
/// </summary>
public sealed class Gate() : KernelObject(KernelObjectKind.Fleet), IReadiness
{
    public bool IsReady { get; private set; }

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Open(ExploreHost host)
    {
        await host.Point(Step.None, 0, Mask);
        IsReady = true;
    }

    /// <summary>Opens it within a step of the caller's, who must have declared it.</summary>
    internal void OpenNow() => IsReady = true;

    [AsyncMethodBuilder(typeof(ProcedureMethodBuilder))]
    public async ValueTask Pass(ExploreHost host) => await host.Wait(Step.None, this, Mask, 0);

    public override void Reset()
    {
        base.Reset();
        IsReady = false;
    }

    public override void HashInto(ref ulong hash) => StateHash.Mix(ref hash, IsReady ? 1UL : 0);
}
