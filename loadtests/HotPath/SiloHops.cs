using System.Diagnostics.Metrics;

namespace Fleet.LoadTests.HotPath;

/// <summary>Counts the messages that this silo sends to other silos, as Orleans' own instrument has them.</summary>
/// <remarks>Not before the first <see cref="Take"/>: the instrument makes text of each message while somebody
/// listens.</remarks>
internal sealed class SiloHops : IDisposable
{
    private const string Sent = "orleans-messaging-sent-messages-size";
    private const string Direction = "ConnectionDirection";
    private const string BetweenSilos = "SiloToSilo";

    private MeterListener? _listener;
    private long _count;

    /// <summary>Messages since the last call; 0 the first time, when counting starts.</summary>
    public long Take()
    {
        if (_listener is null)
        {
            _listener = new MeterListener
            {
                InstrumentPublished = static (instrument, listener) =>
                {
                    if (instrument.Name == Sent)
                    {
                        listener.EnableMeasurementEvents(instrument);
                    }
                },
            };
            _listener.SetMeasurementEventCallback<int>((_, _, tags, _) => Count(tags));
            _listener.Start();
        }

        return Interlocked.Exchange(ref _count, 0);
    }

    public void Dispose() => _listener?.Dispose();

    private void Count(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        foreach (var (name, value) in tags)
        {
            if (name == Direction && value is BetweenSilos)
            {
                Interlocked.Increment(ref _count);
            }
        }
    }
}
