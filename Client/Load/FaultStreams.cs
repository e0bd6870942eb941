using Fleet.Kernel.History;
using Fleet.Kernel.Host;

namespace Fleet.Client.Load;

/// <summary>Counts the faults that strike while the observers of the objects see them.</summary>
public sealed class FaultStreams(IObjectStreams inner) : IObjectStreams
{
    private long _count;
    private volatile string _last = "";

    public long Count => Interlocked.Read(ref _count);

    /// <summary>The newest one with its object; empty for none.</summary>
    public string Last => _last;

    public IObjectStream Open(string name, int gen) => new Stream(this, name, inner.Open(name, gen));

    private sealed class Stream(FaultStreams owner, string name, IObjectStream inner) : IObjectStream
    {
        public void Observe(HistoryEvent record)
        {
            if (record.Kind is EventKind.Inject)
            {
                Interlocked.Increment(ref owner._count);
                owner._last = $"{record.Fn} {record.Err} at {name}";
            }

            inner.Observe(record);
        }

        public void Observe(in Operation record) => inner.Observe(record);

        public void AddTo(ReachedObjects reached)
        {
            reached.Add(this);
            inner.AddTo(reached);
        }
    }
}
