using System.Reflection;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Fleet.Mutation;

/// <summary>The tests of an assembly, found and run by xunit inside this process, one at a time.</summary>
internal sealed class Suite
{
    private readonly Listener _listener = new();

    public Suite(Assembly tests)
    {
        using var framework = new XunitTestFramework(_listener);
        using var discoverer = framework.GetDiscoverer(Reflector.Wrap(tests));
        discoverer.Find(false, _listener, _listener);
        _listener.Complete.Wait();
        Cases = _listener.Cases.OrderBy(NameOf, StringComparer.Ordinal).ToList();
    }

    public IReadOnlyList<IXunitTestCase> Cases { get; }

    public static string NameOf(IXunitTestCase test) => test.DisplayName;

    /// <summary>Whether it stands in the folder of the tests that bears the name of a folder of the law.</summary>
    public static bool IsOf(string name, string folder) =>
        name.StartsWith($"Fleet.Kernel.Tests.{folder}", StringComparison.Ordinal);

    /// <returns>False when it fails; a skipped one passes.</returns>
    public bool Passes(IXunitTestCase test)
    {
        using var bus = new Bus();
        using var stop = new CancellationTokenSource();
        var run = test.RunAsync(_listener, bus, [], new ExceptionAggregator(), stop);
        return run.GetAwaiter().GetResult().Failed == 0;
    }

    private sealed class Bus : IMessageBus
    {
        public bool QueueMessage(IMessageSinkMessage message) => true;

        public void Dispose()
        {
        }
    }

    private sealed class Listener : Xunit.LongLivedMarshalByRefObject, IMessageSink, ITestFrameworkDiscoveryOptions
    {
        public List<IXunitTestCase> Cases { get; } = [];

        public ManualResetEventSlim Complete { get; } = new();

        public bool OnMessage(IMessageSinkMessage message)
        {
            switch (message)
            {
                case ITestCaseDiscoveryMessage found:
                    Cases.Add((IXunitTestCase)found.TestCase);
                    break;
                case IDiscoveryCompleteMessage:
                    Complete.Set();
                    break;
            }

            return true;
        }

        public TValue? GetValue<TValue>(string name) => default;

        public void SetValue<TValue>(string name, TValue value)
        {
        }
    }
}
