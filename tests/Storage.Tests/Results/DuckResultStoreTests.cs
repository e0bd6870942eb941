using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.Storage.Tests.Results;

[Trait("tier", "fast")]
public sealed class DuckResultStoreTests : StoreContract, IDisposable
{
    private readonly Folder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_file_is_a_part_until_it_is_sealed()
    {
        await using var store = await StoreAsync();
        await using var writer = await store.CreateRunAsync(new RunInfo("a"), new ObjectTable(), default);
        Assert.True(File.Exists(_folder.In("a.duckdb.part")));
        Assert.Equal(_folder.In("a.duckdb"), await writer.SealAsync(new RunOutcome(RunVerdict.Valid, 0), default));
        Assert.Equal([_folder.In("a.duckdb")], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task A_file_that_is_no_result_gives_one_sentence()
    {
        await using var store = await StoreAsync();
        await File.WriteAllTextAsync(_folder.In("a.duckdb"), "hello");
        var error = await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync("a", default));
        Assert.Equal($"The file {_folder.In("a.duckdb")} is no result of Fleet that can be read.", error.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("../a")]
    [InlineData("a b")]
    [InlineData(".a")]
    public async Task A_name_that_could_leave_the_directory_is_refused(string name)
    {
        await using var store = await StoreAsync();
        await Assert.ThrowsAsync<StorageException>(() => store.OpenRunAsync(name, default));
    }

    protected override Task<IResultStore> StoreAsync() =>
        ResultStores.OpenAsync(StoreAddress.Parse(_folder.Path), default);
}
