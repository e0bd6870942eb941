using Fleet.Storage.Results;
using Fleet.Storage.Server;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Fleet.Storage.Tests;

/// <summary>
/// The tests of the class need PostgreSQL's server binaries: without them they skip, or fail where CI=true.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class NeedsServerAttribute : Attribute
{
    public static string? Missing { get; } =
        PrivateServer.FindBinaries() is null && Environment.GetEnvironmentVariable("CI") != "true"
            ? "No PostgreSQL server binaries in /usr/lib/postgresql/*/bin or PATH."
            : null;
}

/// <summary>A fact that skips with its class.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Fleet.Storage.Tests.StoreFactDiscoverer", "Fleet.Storage.Tests")]
public sealed class StoreFactAttribute : FactAttribute;

/// <summary>A theory that skips with its class.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Fleet.Storage.Tests.StoreTheoryDiscoverer", "Fleet.Storage.Tests")]
public sealed class StoreTheoryAttribute : TheoryAttribute;

public sealed class StoreFactDiscoverer(IMessageSink sink) : FactDiscoverer(sink)
{
    protected override IXunitTestCase CreateTestCase(
        ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        Skips(testMethod)
            ? new SkippedTestCase(
                DiagnosticMessageSink, discoveryOptions.MethodDisplayOrDefault(),
                discoveryOptions.MethodDisplayOptionsOrDefault(), testMethod)
            : base.CreateTestCase(discoveryOptions, testMethod, factAttribute);

    internal static bool Skips(ITestMethod testMethod) => NeedsServerAttribute.Missing is not null
        && testMethod.TestClass.Class.GetCustomAttributes(typeof(NeedsServerAttribute).AssemblyQualifiedName).Any();
}

public sealed class StoreTheoryDiscoverer(IMessageSink sink) : TheoryDiscoverer(sink)
{
    public override IEnumerable<IXunitTestCase> Discover(
        ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo theoryAttribute) =>
        StoreFactDiscoverer.Skips(testMethod)
            ? [
                new SkippedTestCase(
                    DiagnosticMessageSink, discoveryOptions.MethodDisplayOrDefault(),
                    discoveryOptions.MethodDisplayOptionsOrDefault(), testMethod),
            ]
            : base.Discover(discoveryOptions, testMethod, theoryAttribute);
}

public sealed class SkippedTestCase : XunitTestCase
{
    [Obsolete("For deserialization only.")]
    public SkippedTestCase()
    {
    }

    public SkippedTestCase(
        IMessageSink sink, TestMethodDisplay display, TestMethodDisplayOptions options, ITestMethod testMethod)
        : base(sink, display, options, testMethod)
    {
    }

    protected override string GetSkipReason(IAttributeInfo factAttribute) => NeedsServerAttribute.Missing!;
}

/// <summary>A private server of one test, which may be killed and started again; stopped and removed after
/// it.</summary>
internal sealed class OwnServer : IAsyncDisposable
{
    private readonly Folder _folder = new();

    private OwnServer()
    {
        // The server's own user must be able to enter it.
        File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101);
        Server = PrivateServer.In(Directory);
    }

    public PrivateServer Server { get; }

    public string Directory => _folder.In("pg");

    public StoreAddress Address { get; private set; } = null!;

    public static async Task<OwnServer> StartAsync()
    {
        var own = new OwnServer();
        own.Address = StoreAddress.Parse((await own.Server.UpAsync(default)).Address);
        return own;
    }

    public string In(string name) => _folder.In(name);

    public async ValueTask DisposeAsync()
    {
        await Server.DownAsync(default);
        _folder.Dispose();
    }
}

/// <summary>One private server for all tests that need one; stopped and removed after them.</summary>
public sealed class ServerFixture : IAsyncLifetime
{
    private readonly Folder _folder = new();
    private PrivateServer? _server;

    internal PrivateServer Server => _server!;

    internal PrivateServerStatus Status { get; private set; } = null!;

    internal string Directory => _folder.Path;

    public async Task InitializeAsync()
    {
        if (NeedsServerAttribute.Missing is null)
        {
            // The server's own user must be able to enter it.
            File.SetUnixFileMode(_folder.Path, (UnixFileMode)0b111_101_101);
            _server = PrivateServer.In(_folder.In("pg"));
            Status = await _server.UpAsync(default);
        }
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DownAsync(default);
        }

        _folder.Dispose();
    }
}

[CollectionDefinition("server")]
public sealed class ServerCollection : ICollectionFixture<ServerFixture>;
