using Fleet.Kernel.History;
using Fleet.Protocol.Streams;
using Fleet.Storage.Spool;

namespace Fleet.Silo;

/// <summary>Lifecycle events in the spool: one checksummed frame for each group, in the page cache on return.</summary>
public sealed class SpoolLog(SpoolWriter spool) : ILifecycleLog
{
    public ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
    {
        spool.AppendEvents(events);
        return ValueTask.CompletedTask;
    }
}
