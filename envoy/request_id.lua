-- The rule of request ids, from the constants of `imagegateway.platform.ids`.

local settings = require("edge_settings")

local M = {}

function M.is_valid(id)
  return id ~= nil and id ~= "" and #id <= settings.max_request_id and not id:find(settings.request_id_refused)
end

return M
