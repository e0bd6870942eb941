using Fleet.Kernel.History;
using Fleet.Protocol.Plans;

namespace Fleet.Protocol.Devices;

/// <summary>What is durable of a device besides its events.</summary>
/// <param name="Life">The last life that began; 0 for none.</param>
/// <param name="IsBound">That life has not ended.</param>
public readonly record struct DeviceState(int Life, bool IsBound)
{
    /// <summary>The state after an event of the device.</summary>
    public DeviceState After(HistoryEvent happened) => happened.Kind switch
    {
        EventKind.BindBegin => new(happened.At.Life, true),
        EventKind.UnbindEnd or EventKind.Fenced => this with { IsBound = false },
        _ => this,
    };
}

/// <summary>Failover is surprise removal: the life that an earlier incarnation left ends where it stood.</summary>
public sealed partial class DeviceAgent
{
    /// <summary>Begins a further incarnation of a device whose memory is lost.</summary>
    /// <remarks>
    /// Lives go on counting, so that a message of the lost life fits nothing. Handles of the earlier incarnation get
    /// <see cref="Kernel.Errno.ENODEV"/>; who starts this has to fence the page maps and resources too, before it
    /// binds again. Source: design.md 2.2.
    /// </remarks>
    /// <exception cref="ArgumentException">The run's profile is not known.</exception>
    public async ValueTask Recover(RunPlan run, DevicePlan plan, DeviceState state)
    {
        Log.Life = Math.Max(1, state.Life);
        await Configure(run, plan);
        if (state.IsBound)
        {
            Log.Add(EventKind.Fenced, actor: "failover");
        }

        Log.Life = state.Life + 1;
        await Log.CommitAsync();
    }
}
