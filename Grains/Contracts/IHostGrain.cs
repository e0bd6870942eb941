using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>One machine; key <c>host-0001</c>.</summary>
[Alias("fleet.IHostGrain")]
public interface IHostGrain : IGrainWithStringKey
{
    /// <summary>Configures the host's devices and binds them, some at a time.</summary>
    [Alias("Build")]
    [ResponseTimeout("00:10:00")]
    ValueTask<BuildReply> Build([Immutable] RunPlan run, [Immutable] HostPlan plan);

    /// <summary>
    /// How its devices stand: counters, and each open ticket with what it waits for and who holds it.
    /// </summary>
    [Alias("Quiesce")]
    [ResponseTimeout("00:10:00")]
    ValueTask<HostReport> Quiesce();

    /// <summary>Bars a session at every device where it holds something, then frees what it holds.</summary>
    /// <returns>Allocations freed.</returns>
    [Alias("ReapSession")]
    [ResponseTimeout("00:10:00")]
    ValueTask<long> ReapSession(int session, string name);

    /// <summary>Surprise removal of the machine: of each of its devices; see <see cref="IPciDeviceGrain.Remove"/>.
    /// </summary>
    /// <returns>Devices removed.</returns>
    [Alias("Remove")]
    [ResponseTimeout("00:10:00")]
    ValueTask<int> Remove(long op);

    /// <summary>Has every device look after its parts; see <see cref="IPciDeviceGrain.Check"/>.</summary>
    [Alias("Check")]
    [ResponseTimeout("00:10:00")]
    ValueTask Check();

    /// <summary>Ends the run at every device; see <see cref="IPciDeviceGrain.Close"/>.</summary>
    [Alias("Close")]
    [ResponseTimeout("00:10:00")]
    ValueTask<HostReport> Close();
}
