using Fleet.Kernel.History;

namespace Fleet.Grains.Tests;

/// <summary>Stands before the checker and sees whether each object's positions are dense and in order.</summary>
internal sealed class PositionWatch(IObjectStreams next) : IObjectStreams
{
    private long _operations;
    private long _misplaced;

    public long Operations => Interlocked.Read(ref _operations);

    public long Misplaced => Interlocked.Read(ref _misplaced);

    public IObjectStream Open(string name, int gen) => new Watched(this, next.Open(name, gen));

    private sealed class Watched(PositionWatch watch, IObjectStream inner) : IObjectStream
    {
        private long _seq;

        public void Observe(HistoryEvent record)
        {
            See(record.At);
            inner.Observe(record);
        }

        public void Observe(in Operation record)
        {
            Interlocked.Increment(ref watch._operations);
            See(record.At);
            inner.Observe(record);
        }

        private void See(Position at)
        {
            if (at.Seq != _seq + 1)
            {
                Interlocked.Increment(ref watch._misplaced);
            }

            _seq = at.Seq;
        }
    }
}
